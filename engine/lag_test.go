package engine

import (
	"testing"
	"time"
)

// What comes while a callback keeps the loop has waited for that callback, and what comes to a loop
// that sleeps has not.
func TestLag(t *testing.T) {
	const long = 50 * time.Millisecond
	entered, leave := make(chan struct{}), make(chan struct{})
	lags := make(chan time.Duration, 1)
	s := startServer(t, Config{Loops: 1}, hooks{data: func(c *Conn) {
		p, _ := c.Next(c.Buffered())
		if p[0] == 'b' { // busy
			close(entered)
			<-leave
			return
		}
		lags <- c.Lag()
	}})
	busy, other := s.dial(), s.dial()
	defer busy.finish()
	defer other.finish()
	busy.send([]byte("b"))
	<-entered
	other.send([]byte("x"))
	time.Sleep(long)
	close(leave)
	if lag := <-lags; lag < long {
		t.Errorf("waited for %v, and is told %v", long, lag)
	}
	// A lag that grew with the time asleep would never be below it.
	for start, slept := time.Now(), long; ; slept *= 2 {
		time.Sleep(slept)
		other.send([]byte("x"))
		lag := <-lags
		if lag < slept {
			return
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("the loop slept for %v, and the lag is %v", slept, lag)
		}
	}
}
