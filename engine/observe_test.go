package engine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// AfterFuncs are called in their order, apart from the handler's own timer, unless
// they are stopped or the connection closes first.
func TestAfterFuncs(t *testing.T) {
	calls := make(chan string, 10)
	note := func(what string) func(*Conn) { return func(*Conn) { calls <- what } }
	var again *Timer
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			c.AfterFunc(3*time.Millisecond, note("third"))
			c.AfterFunc(time.Millisecond, note("first"))
			if !c.AfterFunc(2*time.Millisecond, note("stopped")).Stop() {
				t.Error("Stop says that it came too late")
			}
			again = c.AfterFunc(time.Hour, func(c *Conn) {
				calls <- "again"
				if again.Stop() {
					t.Error("Stop has stopped what is being called")
				}
				c.SetTimer(time.Millisecond)
			})
			again.Reset(4 * time.Millisecond)
			c.AfterFunc(time.Hour, note("never"))
		},
		timer: func(c *Conn) { calls <- "timer"; c.Close() },
	})
	c := s.dial()
	for _, want := range []string{"first", "third", "again", "timer"} {
		if got := await(t, calls, want); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	c.wantEOF()
	_ = c.Close()
	awaitUntil(t, "the connection's end", func() bool { return s.stats().Conns == 0 })
	s.onLoop(0, func(l *loop) {
		if len(l.timers) != 0 {
			t.Errorf("%d timers are left", len(l.timers))
		}
	})
}

// What an AfterFunc writes goes out, and a panic in it costs its connection.
func TestAfterFuncIsACallback(t *testing.T) {
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			c.AfterFunc(0, func(c *Conn) { _, _ = c.Write([]byte("hi")) })
		},
		data: func(c *Conn) {
			c.Discard(c.Buffered())
			c.AfterFunc(0, func(*Conn) { panic("enough") })
		},
	})
	c := s.dial()
	if got := c.recv(2); string(got) != "hi" {
		t.Errorf("received %q", got)
	}
	c.send([]byte("x"))
	c.wantReset()
	if n := s.stats().Errors[ErrorPanic]; n != 1 {
		t.Errorf("%d panics are counted", n)
	}
}

// Traffic is the wire's, with a filter and without.
func TestTrafficIsWhatIsOnTheWire(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint(filtered), func(t *testing.T) {
			got := make(chan [2]uint64, 1)
			s := startServer(t, Config{}, hooks{
				open: func(c *Conn) {
					c.CountBytes()
					if filtered {
						c.SetFilter(&flipping{closed: make(chan struct{})})
					}
				},
				data: func(c *Conn) {
					b, _ := c.Next(-1)
					_, _ = c.Write(append(b, b...))
				},
				closed: func(c *Conn, _ error) { in, out := c.Traffic(); got <- [2]uint64{in, out} },
			})
			c := s.dial()
			sent := pattern(1, 100<<10)
			want := [2]uint64{100 << 10, 200 << 10}
			if filtered {
				sent = append(flip(sent), flip([]byte{0})...)
				want = [2]uint64{100<<10 + 1, 200<<10 + 1} // the filter's goodbyes
			}
			go c.send(sent)
			c.recv(200 << 10)
			c.finish()
			c.recvAll()
			if n := await(t, got, "OnClose"); n != want {
				t.Errorf("counted %d, want %d", n, want)
			}
		})
	}
}

// A tap sees the handler's side, all of it and in order, whatever way it takes.
func TestTapSeesWhatTheHandlerSees(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		for _, into := range []bool{false, true} {
			t.Run(fmt.Sprintf("filtered %v, ReadInto %v", filtered, into), func(t *testing.T) {
				var seen [2][]byte
				ended := make(chan struct{})
				body := make([]byte, 10_000)
				s := startServer(t, Config{}, hooks{
					open: func(c *Conn) {
						c.SetTap(func(_ *Conn, d Direction, p []byte) { seen[d] = append(seen[d], p...) })
						if filtered {
							c.SetFilter(&flipping{closed: make(chan struct{})})
						}
					},
					data: func(c *Conn) {
						echo(c)
						if into {
							c.ReadInto(body, func(c *Conn) { _, _ = c.Write(body) })
						}
					},
					closed: func(*Conn, error) { close(ended) },
				})
				c := s.dial()
				text := pattern(1, 100_000)
				sent := slices.Concat(text, make([]byte, 10_000)) // the last ReadInto may hold some back
				want := bytes.Clone(sent)
				if filtered {
					sent = append(flip(sent), flip([]byte{0})...)
				}
				go c.send(sent)
				c.recv(len(text))
				c.finish()
				c.recvAll()
				await(t, ended, "OnClose")
				if !bytes.Equal(seen[Inbound], want) {
					t.Errorf("saw %d bytes come in of %d, or others", len(seen[Inbound]), len(want))
				}
				if out := seen[Outbound]; len(out) < len(text) || !bytes.HasPrefix(want, out) {
					t.Errorf("saw %d bytes go out, or others", len(out))
				}
			})
		}
	}
}

// A panic in a tap costs its connection, nothing else.
func TestTapPanics(t *testing.T) {
	s := startServer(t, Config{}, hooks{open: func(c *Conn) {
		c.SetTap(func(*Conn, Direction, []byte) { panic("enough") })
	}})
	c := s.dial()
	c.send([]byte("x"))
	c.wantReset()
}

// Pause and Hold don't end each other: OnData comes for what is left when both are over.
func TestHoldAndPauseAreApart(t *testing.T) {
	for name, ends := range map[string][2]func(*Conn){
		"Resume first":  {(*Conn).Resume, (*Conn).Release},
		"Release first": {(*Conn).Release, (*Conn).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			conns, again := make(chan *Conn, 1), make(chan string, 1)
			first := true
			s := startServer(t, Config{}, hooks{data: func(c *Conn) {
				if first {
					first = false
					c.Hold()
					c.Pause()
					conns <- c
					return
				}
				b, _ := c.Next(-1)
				again <- string(b)
			}})
			s.dial().send([]byte("abc"))
			conn := await(t, conns, "OnData")
			onConn(t, conn, ends[0])
			onConn(t, conn, func(c *Conn) {
				if len(again) > 0 || c.Paused() == c.Held() {
					t.Errorf("after one end: %d calls, paused %v, held %v", len(again), c.Paused(), c.Held())
				}
				ends[1](c)
			})
			if got := await(t, again, "OnData"); got != "abc" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Ending says that a connection is told nothing more, whichever way it ends.
func TestEnding(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"Close":    (*Conn).Close,
		"CloseNow": (*Conn).CloseNow,
		"Fail":     func(c *Conn) { c.Fail(errors.New("enough")) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan bool, 3)
			s := startServer(t, Config{}, hooks{
				data:   func(c *Conn) { ended <- c.Ending(); end(c); ended <- c.Ending() },
				closed: func(c *Conn, _ error) { ended <- c.Ending() },
			})
			c := s.dial()
			c.send([]byte("x"))
			for i, want := range []bool{false, true} {
				if got := await(t, ended, "OnData"); got != want {
					t.Errorf("%d: %v", i, got)
				}
			}
			_ = c.Close()
			if !await(t, ended, "OnClose") {
				t.Error("it is not ending in OnClose")
			}
		})
	}
}
