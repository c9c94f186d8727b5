package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// ends waits for a connection's OnClose, and wants its error and its counter.
func ends(t *testing.T, s *testServer, ended <-chan error, want error, kind ErrorKind) {
	t.Helper()
	err := await(t, ended, fmt.Sprint("OnClose with ", want))
	var e *Error
	if !errors.Is(err, want) || !errors.As(err, &e) || e.Namespace != "home" || !e.Addr.IsValid() {
		t.Errorf("OnClose got %v, want an *Error with %v", err, want)
	}
	if n := s.stats().Errors[kind]; n != 1 {
		t.Errorf("%d counted as %v, want 1", n, kind)
	}
}

// A connection on which nothing moves is ended after Config.IdleTimeout, which
// a connection can change for itself.
func TestIdleTimeout(t *testing.T) {
	opened, ended := make(chan *Conn, 2), make(chan error, 1)
	s := startServer(t, Config{IdleTimeout: 50 * time.Millisecond}, hooks{
		data: echo, closed: func(_ *Conn, err error) { ended <- err },
		open: func(c *Conn) {
			if len(opened) == 0 {
				c.SetIdleTimeout(0)
			}
			opened <- c
		},
	})
	patient, quiet := s.dial(), s.dial()
	ends(t, s, ended, ErrIdle, ErrorIdle)
	quiet.wantReset()
	patient.roundTrip([]byte("idle for as long as it likes"))
	c := await(t, opened, "the patient one")
	onConn(t, c, func(c *Conn) { c.SetIdleTimeout(time.Millisecond) })
	if err := await(t, ended, "the patient one's end"); !errors.Is(err, ErrIdle) {
		t.Errorf("OnClose got %v, want ErrIdle", err)
	}
}

// Bytes that move, in either direction, put the idle timeout off; the timer,
// which is not moved with each of them, fires in between and finds nothing due.
func TestMovingBytesPutTheIdleTimeoutOff(t *testing.T) {
	opened := make(chan *Conn, 1)
	s := startServer(t, Config{IdleTimeout: time.Hour}, hooks{
		open: func(c *Conn) { opened <- c },
		wake: func(c *Conn) { _, _ = c.Write([]byte("x")) },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	due := func() (at int64) {
		onConn(t, c, func(c *Conn) { at = c.idleDue() })
		return at
	}
	first := due()
	client.send([]byte("x"))
	awaitUntil(t, "received bytes put it off", func() bool { return due() > first })
	second := due()
	c.Wake()
	client.recv(1)
	if third := due(); third <= second {
		t.Errorf("sent bytes did not put the timeout off: %d, was %d", third, second)
	}
	s.onLoop(0, func(l *loop) { l.timers.set(&c.timer, 1) }) // long due
	s.onLoop(0, func(*loop) {})
	onConn(t, c, func(c *Conn) {
		if c.stage != stageOpen || c.timer.when != c.idleDue() {
			t.Errorf("after an early timer: stage %d, armed for %d, want %d", c.stage, c.timer.when, c.idleDue())
		}
	})
}

// A deadline ends a connection whatever it is doing, can be put off, and can be
// taken away.
func TestDeadline(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		data: echo, open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { ended <- err },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	onConn(t, c, func(c *Conn) {
		c.SetDeadline(time.Now().Add(time.Millisecond))
		c.SetDeadline(time.Now().Add(time.Hour))
		c.SetDeadline(time.Now().Add(time.Millisecond))
		c.SetDeadline(time.Time{})
	})
	s.mustBeQuiet(0, "a deadline was taken away")
	client.roundTrip([]byte("still open"))
	onConn(t, c, func(c *Conn) { c.SetDeadline(time.Now().Add(-time.Hour)) })
	ends(t, s, ended, ErrDeadline, ErrorDeadline)
	client.wantReset()
}

// A closing connection whose peer takes nothing is reset after LingerTimeout,
// and one whose peer does not close its half too.
func TestLingerTimeout(t *testing.T) {
	for _, queued := range []int{0, 32 << 20} {
		t.Run(fmt.Sprint(queued, " bytes queued"), func(t *testing.T) {
			ended := make(chan error, 1)
			s := startServer(t, Config{LingerTimeout: 50 * time.Millisecond}, hooks{
				open: func(c *Conn) {
					_, _ = c.Write(make([]byte, queued))
					c.Close()
				},
				closed: func(_ *Conn, err error) { ended <- err },
			})
			client := s.dialSmall(16 << 10)
			ends(t, s, ended, ErrLinger, ErrorLinger)
			if queued > 0 {
				client.wantReset()
				return
			}
			client.wantEOF() // its half was closed in order before
			awaitUntil(t, "the reset has come", func() bool {
				_, err := client.Write([]byte("x"))
				return err != nil
			})
		})
	}
}

// Timers fire in the order of their times, whatever the order they were set
// in, each once; a later SetTimer replaces an earlier one, 0 takes it away.
func TestTimerOrder(t *testing.T) {
	const n = 40
	opened, fired := make(chan *Conn, n), make(chan *Conn, 2*n)
	s := startServer(t, Config{}, hooks{
		open:  func(c *Conn) { opened <- c },
		timer: func(c *Conn) { fired <- c },
	})
	conns := make([]*Conn, n)
	for i := range conns {
		s.dial()
		conns[i] = await(t, opened, "a connection")
	}
	var want []*Conn
	s.onLoop(0, func(*loop) {
		for i := range n {
			c := conns[i*7%n] // 7 and 40 have no common divisor: every one once
			delay := time.Duration(1+i*7%n) * time.Millisecond
			switch i % 4 {
			case 1:
				c.SetTimer(time.Hour)
			case 2:
				c.SetTimer(time.Nanosecond)
			case 3:
				c.SetTimer(0)
			}
			c.SetTimer(delay)
		}
		conns[3].SetTimer(0)
		conns[5].SetTimer(-1)
		for i, c := range conns {
			if i != 3 && i != 5 {
				want = append(want, c)
			}
		}
		slices.SortFunc(want, func(a, b *Conn) int { return cmp.Compare(a.timerAt, b.timerAt) })
	})
	for i, c := range want {
		if got := await(t, fired, "a timer"); got != c {
			t.Fatalf("timer %d did not fire in its turn", i)
		}
	}
	s.mustBeQuiet(0, "no timer is set")
	if len(fired) > 0 {
		t.Errorf("%d timers fired that were taken away or had fired", len(fired))
	}
}

// A timer is never early, and one that is set again in OnTimer does not keep
// the loop from anything else.
func TestTimerIsNotEarly(t *testing.T) {
	type result struct{ after, want time.Duration }
	results := make(chan result, 10)
	type state struct {
		set  time.Time
		wait time.Duration
	}
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			c.SetContext(&state{time.Now(), time.Microsecond})
			c.SetTimer(time.Microsecond)
		},
		data: echo,
		timer: func(c *Conn) {
			st := c.Context().(*state)
			if len(results) < cap(results) {
				results <- result{time.Since(st.set), st.wait}
			}
			st.set, st.wait = time.Now(), min(st.wait*3, 10*time.Millisecond)
			c.SetTimer(st.wait)
		},
	})
	client := s.dial()
	for range cap(results) {
		if r := await(t, results, "OnTimer"); r.after < r.want {
			t.Errorf("a timer of %v came after %v", r.want, r.after)
		}
		client.roundTrip([]byte("still served"))
	}
}
