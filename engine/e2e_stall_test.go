package engine

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// blocked is a server of two loops, one of which a handler blocks until
// release. The client has a connection to the other one.
func blocked(t *testing.T) (s *testServer, loop int, free *client, release func()) {
	t.Helper()
	entered, let := make(chan int), make(chan struct{})
	release = sync.OnceFunc(func() { close(let) })
	s = startServer(t, Config{Loops: 2, Accept: AcceptSpread, StallAfter: 20 * time.Millisecond},
		hooks{data: func(c *Conn) {
			if string(must(c.Peek(-1))) == "block" {
				entered <- c.Loop()
				<-let
			}
			echo(c)
		}})
	t.Cleanup(release)
	free = s.dial()
	free.roundTrip([]byte("hello"))
	s.dial().send([]byte("block")) // spread: on the other loop
	return s, await(t, entered, "the handler to block"), free, release
}

func must[T any](v T, _ error) T { return v }

// A handler that blocks holds up its own loop only. The engine says whose it
// is, and its statistics answer meanwhile.
func TestBlockedHandlerIsReported(t *testing.T) {
	s, held, free, release := blocked(t)
	s.log.await(t, "held up", "netns=home", fmt.Sprintf("loop=%d", held), "port=0")
	for range 100 {
		free.roundTrip([]byte("the other loop"))
	}
	st := s.Stats()
	if st.Loops[held].Busy < s.cfg.StallAfter || st.Loops[held].Stalls == 0 {
		t.Errorf("the blocked loop is shown busy for %v, with %d stalls", st.Loops[held].Busy, st.Loops[held].Stalls)
	}
	release()
	s.onLoop(held, func(*loop) {})
}
