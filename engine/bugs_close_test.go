package engine

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Pain 18: closes that race with each other and with everything else leak
// (netpoll #304), detach twice (#142), crash a map (gnet #525) or deadlock in a
// callback (nbio #74). Several goroutines call whatever they may on the same
// connections while the peers talk, close, half-close and reset. The referee
// sees that OnClose comes once and nothing after it; each AsyncWrite must be
// answered once, and each Call run.
func TestCloseRaces(t *testing.T) {
	var asked, answered, opened, ended atomic.Int64
	conns := make(chan *Conn, 64)
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{
		open: func(c *Conn) {
			opened.Add(1)
			conns <- c
		},
		data: func(c *Conn) {
			echo(c)
			if rand.IntN(20) == 0 {
				c.Close() // the callback's own
			}
		},
		closed: func(c *Conn, err error) {
			ended.Add(1)
			c.Close()
			c.CloseNow()
			c.Wake()
		},
	})
	const total, callers = 300, 3
	var wg sync.WaitGroup
	wg.Go(func() {
		for range total {
			fd, err := rawDial(s.ports[0])
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				defer unix.Close(fd)
				for range rand.IntN(5) {
					_, _ = unix.Write(fd, make([]byte, 1+rand.IntN(2000)))
				}
				switch rand.IntN(4) {
				case 0:
					setReset(fd)
				case 1:
					_ = unix.Shutdown(fd, unix.SHUT_WR)
					_, _ = unix.Read(fd, make([]byte, 100))
				case 2:
					_, _ = unix.Read(fd, make([]byte, 100))
				}
			})
		}
	})
	for range total {
		c := await(t, conns, "a connection")
		for range callers {
			wg.Go(func() {
				for range 10 {
					switch rand.IntN(8) {
					case 0:
						c.Close()
					case 1:
						if rand.IntN(4) == 0 {
							c.CloseNow()
						}
					case 2:
						c.CloseWrite()
					case 3:
						c.Wake()
					case 4, 5:
						asked.Add(1)
						c.AsyncWrite(make([]byte, rand.IntN(20_000)), func(error) { answered.Add(1) })
					default:
						asked.Add(1)
						if !c.Call(func(c *Conn) { answered.Add(1); _, _ = c.Write([]byte("called")); c.Discard(1) }) {
							t.Error("Call refused while the engine runs")
						}
					}
				}
				c.Close()
			})
		}
	}
	awaitAll(t, &wg, "everyone")
	awaitUntil(t, "all have ended and all is answered", func() bool {
		return ended.Load() == total && answered.Load() == asked.Load()
	})
	if st := s.stats(); st.Conns != 0 || st.Accepted != total {
		t.Errorf("%d connections are open of %d accepted, want 0 of %d", st.Conns, st.Accepted, total)
	}
	for i := range s.loops {
		s.onLoop(i, func(l *loop) {
			if len(l.timers) != 0 || l.load.Load() != 0 {
				t.Errorf("loop %d: %d timers and a load of %d are left", i, len(l.timers), l.load.Load())
			}
		})
	}
}

// CloseNow is a RST to the peer, whatever is queued, and ErrClosedNow to the
// handler.
func TestCloseNowResets(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	s := startServer(t, Config{}, hooks{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { ended <- err }})
	client := s.dial()
	c := await(t, opened, "a connection")
	onConn(t, c, func(c *Conn) { _, _ = c.Write(make([]byte, 16<<20)) })
	c.CloseNow()
	err := await(t, ended, "OnClose")
	var e *Error
	if !errors.Is(err, ErrClosedNow) || !errors.As(err, &e) || e.Addr != client.addr() || e.Namespace != s.home.Name() {
		t.Errorf("OnClose got %v, want ErrClosedNow with the peer's address and the namespace", err)
	}
	client.wantReset()
}

// Close delivers what was written before it, says end of file, throws away what
// the peer still sends (or the kernel would turn the close into a reset that
// overtakes the reply), and ends without an error when the peer closes too.
func TestCloseIsOrderly(t *testing.T) {
	reply := pattern(18, 4<<20)
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		data: func(c *Conn) {
			c.Discard(c.Buffered())
			if _, err := c.Write(reply); err != nil {
				t.Errorf("Write: %v", err)
			}
			c.Close()
			c.Close()
			if _, err := c.Write([]byte("too late")); !errors.Is(err, ErrClosed) {
				t.Errorf("Write after Close: %v, want ErrClosed", err)
			}
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	client := s.dialSmall(32 << 10)
	client.send([]byte("go"))
	var talk sync.WaitGroup
	talk.Go(func() { _, _ = client.Write(make([]byte, 8<<20)) }) // more than anyone buffers
	wantSame(t, client.recvAll(), reply)
	awaitAll(t, &talk, "the client's own bytes to be taken")
	_ = client.Close()
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v, want nil", err)
	}
}

// CloseWrite ends our half and leaves the other: the peer reads the end of file
// behind what was written, and is still heard.
func TestCloseWriteKeepsListening(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	heard := make(chan string, 1)
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			b, _ := c.Next(c.Buffered())
			heard <- string(b)
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	last := pattern(19, 1<<20)
	c.AsyncWrite(last, nil)
	c.CloseWrite()
	c.CloseWrite()
	wantSame(t, client.recvAll(), last)
	for _, word := range []string{"I", "can", "still", "talk"} {
		client.send([]byte(word))
		if got := await(t, heard, "OnData"); got != word {
			t.Fatalf("heard %q, want %q", got, word)
		}
	}
	refused := make(chan error, 1)
	c.AsyncWrite([]byte("x"), func(err error) { refused <- err })
	if err := await(t, refused, "done"); !errors.Is(err, ErrClosed) {
		t.Errorf("a write after CloseWrite: %v, want ErrClosed", err)
	}
	_ = client.Close()
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v, want nil", err)
	}
}

// A peer's reset is a read error that names it.
func TestPeersResetIsReported(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	s := startServer(t, Config{}, hooks{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { ended <- err }})
	for _, paused := range []bool{false, true} {
		client := s.dial()
		c := await(t, opened, "a connection")
		if paused {
			onConn(t, c, (*Conn).Pause)
		}
		addr := client.addr()
		client.reset()
		err := await(t, ended, "OnClose")
		var e *Error
		if !errors.Is(err, unix.ECONNRESET) || !errors.As(err, &e) || e.Op != "read" || e.Addr != addr {
			t.Errorf("paused %v: OnClose got %v, want a read error of %v with ECONNRESET", paused, err, addr)
		}
	}
	if n := s.stats().Errors[ErrorRead]; n != 2 {
		t.Errorf("%d read errors counted, want 2", n)
	}
}
