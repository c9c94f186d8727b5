package engine

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// What one part of the engine relies on while another is at work.

// touchy is a filter that passes everything on until a byte that it can't stand.
type touchy struct {
	on     byte
	mishap func()
	closed func() // may be nil
}

func (f *touchy) Input(w *Wire, p []byte) error { w.Deliver(p); return nil }
func (f *touchy) InputEOF(w *Wire) error        { w.EOF(); return nil }
func (f *touchy) CloseOutput(*Wire) error       { return nil }

func (f *touchy) Output(w *Wire, p []byte) error {
	if bytes.IndexByte(p, f.on) >= 0 {
		f.mishap()
	}
	_, err := w.Write(p)
	return err
}

func (f *touchy) Closed(*Wire) {
	if f.closed != nil {
		f.closed()
	}
}

// A panic in the filter or the tap of a connection that another one's callback, or a
// packet's, writes to is the end of the former alone. It once cut the callback off, and
// left the loop's scratch with a connection that had not been settled.
func TestPanicBelowAnothersCallback(t *testing.T) {
	for name, prepare := range map[string]func(*Conn){
		"filter": func(c *Conn) { c.SetFilter(&touchy{on: '!', mishap: func() { panic("filter") }}) },
		"tap": func(c *Conn) {
			c.SetTap(func(_ *Conn, d Direction, p []byte) {
				if d == Outbound && bytes.IndexByte(p, '!') >= 0 {
					panic("tap")
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			others, ended := make(chan *Conn, 1), make(chan error, 1)
			var other *Conn
			s := startServer(t, Config{}, hooks{data: func(c *Conn) {
				_, _ = c.Write([]byte("before "))
				if p, _ := c.Peek(-1); bytes.HasSuffix(p, []byte("!")) {
					if _, err := other.Write([]byte("!")); !errors.Is(err, ErrPanic) && name == "filter" {
						t.Errorf("Write is %v", err)
					}
				}
				_, _ = c.Write([]byte("after"))
			}}, hooks{
				open:   func(c *Conn) { prepare(c); others <- c },
				data:   echo,
				closed: func(_ *Conn, err error) { ended <- err },
			})
			doomed := s.dialPort(s.ports[1])
			other = await(t, others, "the other connection")
			c := s.dial()
			c.send([]byte("unread!"))
			if got := c.recv(len("before after")); string(got) != "before after" {
				t.Errorf("got %q", got)
			}
			if err := await(t, ended, "OnClose"); !errors.Is(err, ErrPanic) {
				t.Errorf("OnClose got %v", err)
			}
			doomed.wantReset()
			third := s.dialPort(s.ports[1])
			await(t, others, "a third connection")
			third.roundTrip(bytes.Repeat([]byte("x"), 2000)) // over where the first's unread bytes may be
			if unread := s.referees[0].unread(); unread != "unread!" {
				t.Errorf("what the first has not read is now %q", unread)
			}
			if n := s.loopStats().Panics; n != 1 {
				t.Errorf("%d panics are counted", n)
			}
			s.onLoop(0, func(l *loop) {
				if l.lent != nil || l.running != nil || l.filtering != nil {
					t.Errorf("the loop has lent its scratch to %p, runs %p, filters %p", l.lent, l.running, l.filtering)
				}
			})
		})
	}
}

// unread is what the connections that a referee has seen have not consumed.
func (r *referee) unread() (unread string) {
	r.mu.Lock()
	conns := slices.Collect(maps.Keys(r.lives))
	r.mu.Unlock()
	for _, c := range conns {
		onConn(r.t, c, func(c *Conn) {
			b, _ := c.Peek(-1)
			unread += string(b)
		})
	}
	return unread
}

// The same below a handler of packets, whose recover knows nothing of connections.
func TestFilterPanicBelowAPacket(t *testing.T) {
	ended := make(chan error, 1)
	others := make(chan *Conn, 1)
	var other *Conn
	s := startServer(t, Config{}, hooks{
		open:   func(c *Conn) { c.SetFilter(&touchy{on: '!', mishap: func() { panic("filter") }}); others <- c },
		closed: func(_ *Conn, err error) { ended <- err },
	})
	s.dial()
	other = await(t, others, "the connection")
	unitMust(t, s.HandlePackets("udp", 0, packetHooks{packet: func(p *Packet) {
		_, _ = other.Write([]byte("!"))
		_ = p.Reply(p.Data)
	}}))
	s.ports = []int{s.home.Port("udp", 0)}
	s.dialPackets("udp4").expect("x", "x")
	if err := await(t, ended, "OnClose"); !errors.Is(err, ErrPanic) {
		t.Errorf("OnClose got %v", err)
	}
	s.onLoop(0, func(l *loop) {
		if l.running != nil || l.filtering != nil {
			t.Errorf("the loop runs %p, filters %p", l.running, l.filtering)
		}
	})
}

// AsyncWrite's done is called also when the filter panics, or ends the goroutine.
func TestAsyncWriteWhoseFilterPanics(t *testing.T) {
	for name, mishap := range map[string]func(){"panic": func() { panic("filter") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			conns, done, ended := make(chan *Conn, 1), make(chan error, 1), make(chan error, 1)
			s := startServer(t, Config{}, hooks{
				open:   func(c *Conn) { c.SetFilter(&touchy{on: '!', mishap: mishap}); conns <- c },
				closed: func(_ *Conn, err error) { ended <- err },
			})
			s.dial()
			await(t, conns, "the connection").AsyncWrite([]byte("!"), func(err error) { done <- err })
			if err := await(t, done, "done"); err == nil {
				t.Error("the write has gone well")
			}
			if err := await(t, ended, "OnClose"); !errors.Is(err, ErrPanic) {
				t.Errorf("OnClose got %v", err)
			}
		})
	}
}

// A filter's Closed that panics or ends the goroutine keeps no OnClose back.
func TestFilterMishapInClosed(t *testing.T) {
	for name, mishap := range map[string]func(){"panic": func() { panic("filter") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			s := startServer(t, Config{}, hooks{
				open:   func(c *Conn) { c.SetFilter(&touchy{closed: mishap}) },
				closed: func(_ *Conn, err error) { ended <- err },
			})
			s.dial().finish()
			if err := await(t, ended, "OnClose"); err != nil {
				t.Errorf("OnClose got %v", err)
			}
		})
	}
}

// looping is a filter that answers what is written by itself, and keeps what ends the
// output until it is flushed.
type looping struct{ touchy }

func (f *looping) Output(w *Wire, p []byte) error { w.Deliver(p); return nil }
func (f *looping) CloseOutput(w *Wire) error      { w.FlushLater(); return nil }
func (f *looping) Flush(w *Wire) error {
	_, err := w.Write([]byte("the end"))
	return err
}

// What a filter passes on outside of Input the handler is told of without waiting for
// more to arrive, and what CloseOutput leaves to Flush is sent: it was a write to a
// connection that was closing already.
func TestFilterThatDeliversInOutput(t *testing.T) {
	ended := make(chan error, 1)
	var heard []byte
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.SetFilter(&looping{}) },
		data: func(c *Conn) {
			p, _ := c.Next(c.Buffered())
			heard = append(heard, p...)
			if string(p) == "question" {
				_, _ = c.Write([]byte("answer"))
			} else {
				c.Close()
			}
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	c := s.dial()
	c.send([]byte("question"))
	if got := c.recvAll(); string(got) != "the end" {
		t.Errorf("got %q", got)
	}
	c.finish()
	if err := await(t, ended, "OnClose"); err != nil || string(heard) != "questionanswer" {
		t.Errorf("heard %q, then %v", heard, err)
	}
}

// Works in order that wait for one whose Done ends the goroutine are dropped all the
// same; one that was kept held its namespace forever.
func TestGoexitInADoneDropsTheNextInOrder(t *testing.T) {
	dropped, gate := make(chan error, 2), make(chan struct{})
	s := startServer(t, Config{DrainTimeout: time.Millisecond}, worker(func(c *Conn, _ byte) {
		unitMust(t, c.Go(Work{
			Run:  func(context.Context) error { <-gate; return nil },
			Done: func(*Conn, error) { runtime.Goexit() }, InOrder: true,
		}))
		for range 2 {
			unitMust(t, c.Go(Work{
				Run:  func(context.Context) error { return nil },
				Done: func(*Conn, error) { t.Error("Done was called") }, Dropped: func(err error) { dropped <- err },
				InOrder: true, InNamespace: true,
			}))
		}
	}))
	s.dial().send([]byte("x"))
	awaitUntil(t, "the later works are done", func() bool { return s.Stats().Work.Done == 2 })
	close(gate)
	for range 2 {
		if err := await(t, dropped, "Dropped"); !errors.Is(err, ErrClosed) {
			t.Errorf("dropped for %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	unitMust(t, s.Detach(ctx, s.home))
}

// Work is dropped once, when its Run has returned, though the loop's end finds the word
// that it is stuck in its mailbox; and a panic in Dropped is nobody's end.
func TestDroppedOnceAtTheEnd(t *testing.T) {
	l := unitLoop(t, Config{})
	c := unitConn(l, -1)
	var dropped atomic.Int32
	j := &job{Work: Work{Dropped: func(error) { dropped.Add(1); panic("dropped") }}, conn: c}
	p := l.eng.pool
	p.mu.Lock()
	p.begin(j)
	p.mu.Unlock()
	j.due = -int64(time.Hour)
	p.giveUp()
	if n := len(l.mail.tasks); n != 1 {
		t.Fatalf("%d tasks are posted", n)
	}
	l.guard(func() { l.refuse(l.mail.close()[0]) })
	if n := dropped.Load(); n != 0 {
		t.Errorf("dropped %d times while it runs", n)
	}
	p.finish(j)
	if n := dropped.Load(); n != 1 {
		t.Errorf("dropped %d times", n)
	}
	returned := &job{Work: j.Work, conn: c}
	returned.state.Store(jobReturned)
	l.guard(func() { l.refuse(task{kind: taskWork, conn: c, work: returned}) })
	if n := dropped.Load(); n != 2 {
		t.Errorf("dropped %d times", n)
	}
}

// A handler that ends the goroutine in the middle of a drain's end leaves no connection
// behind that nobody cuts off any more.
func TestGoexitInACutOff(t *testing.T) {
	opened := make(chan struct{}, 3)
	var detached atomic.Int32
	s := startServer(t, Config{DrainTimeout: 10 * time.Millisecond}, hooks{
		open:  func(*Conn) { opened <- struct{}{} },
		drain: stay,
		closed: func(*Conn, error) {
			detached.Add(1)
			runtime.Goexit()
		},
	})
	for range 3 {
		s.dial()
		await(t, opened, "OnOpen")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	home := s.home
	_ = s.Detach(ctx, home)
	await(t, home.Released(), "the end of the namespace")
	if n := detached.Load(); n != 3 {
		t.Errorf("%d connections have ended", n)
	}
}

// Home is there until it is detached, also where a name that it has been attached by
// goes away.
func TestHomeOutlivesItsName(t *testing.T) {
	s := startBare(t, Config{})
	unitMust(t, s.Detach(t.Context(), s.home))
	dir := t.TempDir()
	name := filepath.Join(dir, "host")
	unitMust(t, os.Symlink("/proc/self/ns/net", name))
	unitMust(t, s.Watch(dir))
	named := s.Namespaces()
	home, err := s.Home()
	unitMust(t, err)
	if len(named) != 1 || named[0] != home {
		t.Fatalf("attached are %v, home is %v", named, home)
	}
	unitMust(t, os.Remove(name))
	awaitUntil(t, "the name is noticed to be gone", func() bool {
		gone := false
		unitMust(t, s.control.do(func(ct *control) { gone = ct.byPath[name] == nil }))
		return gone
	})
	if home.State() != StateServing {
		t.Errorf("home is %v", home.State())
	}
}

// A port whose handler ends the goroutine in OnOpen is served all the same; nobody polled it.
func TestGoexitInOnOpenOfAPacketPort(t *testing.T) {
	s := startPackets(t, Config{}, packetHooks{open: func(*PacketConn) { runtime.Goexit() }, packet: packetEcho})
	s.dialPackets("udp4").expect("x", "x")
}

// What watches for a drain sees that of a simulated namespace too.
func TestSimulatedDrainIsSeen(t *testing.T) {
	s, ns := simulated(t, Config{}, BaseHandler{})
	s.Drain(ns)
	s.Drain(ns)
	await(t, ns.Draining(), "Draining")
	s.settle()
}

// OpenPacket does not answer with nothing and no error if the handler ends the
// goroutine in OnOpen.
func TestOpenPacketWhoseOnOpenEndsTheGoroutine(t *testing.T) {
	s := startBare(t, Config{})
	c, err := s.OpenPacket(s.home, 0, packetHooks{open: func(*PacketConn) { runtime.Goexit() }})
	if (c == nil) == (err == nil) {
		t.Errorf("the socket is %p, the error %v", c, err)
	}
}
