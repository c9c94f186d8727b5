package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/poller"
)

// Pain 1: a stale event reaches the next owner of a descriptor (golang #59545,
// libuv joyent#971). A loop that finds connections by their descriptor's
// number, and closes it inside a callback, hands the rest of the batch to
// whoever got the number: the newcomer was closed by its predecessor's reset.
//
// In each round one batch holds the event that makes the server close A, the
// newcomer C, and A's own reset.
func TestCloseInABatchSparesTheNewcomer(t *testing.T) {
	var mu sync.Mutex
	conns := make(map[string]*Conn) // by peer
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			mu.Lock()
			defer mu.Unlock()
			conns[c.RemoteAddr().String()] = c
		},
		data: func(c *Conn) {
			if victim, _ := c.Context().(*Conn); victim != nil {
				victim.CloseNow()
			}
			if c.Buffered() == 0 {
				t.Errorf("OnData without data: an event of another connection")
			}
			echo(c)
		},
	})
	find := func(c *client) *Conn {
		mu.Lock()
		defer mu.Unlock()
		return conns[c.addr().String()]
	}
	for round := range 200 {
		a, b := s.dial(), s.dial()
		a.roundTrip([]byte("a"))
		b.roundTrip([]byte("b"))
		victim := find(a)
		onConn(t, find(b), func(c *Conn) { c.SetContext(victim) })

		release := s.hold(0)
		b.send([]byte("close a"))
		c := s.dial()
		if round%2 == 0 {
			a.reset()
		} else {
			a.send([]byte("lost"))
		}
		release()

		c.roundTrip([]byte("c"))
		if string(b.recv(7)) != "close a" {
			t.Fatal("b's reply is lost")
		}
		c.roundTrip([]byte("c again"))
		for _, cl := range []*client{a, b, c} {
			_ = cl.Close()
		}
	}
}

// Pain 1 again, from the side of the poller: a registration that outlives its
// connection (a duplicate of the descriptor does that, or an event that was
// fetched before the close) goes on firing with the old token. It must reach
// nobody, and be counted, when the slot has a new owner.
func TestStaleTokenIsCountedAndReachesNobody(t *testing.T) {
	opened, ended := make(chan *Conn, 2), make(chan error, 2)
	var calls counter
	s := startServer(t, Config{}, hooks{
		open:   func(c *Conn) { opened <- c },
		data:   func(c *Conn) { calls.inc(); echo(c) },
		eof:    func(c *Conn) { calls.inc() },
		closed: func(c *Conn, err error) { ended <- err },
	})
	s.dial()
	a := await(t, opened, "the first connection")
	stale := a.token
	a.CloseNow()
	_ = await(t, ended, "its end")

	client := s.dial()
	b := await(t, opened, "the second connection")
	if b.token.Slot() != stale.Slot() {
		t.Fatalf("the slot of %v was not used again: the next connection has %v", stale, b.token)
	}
	always, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) // readable for ever
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(always)
	s.onLoop(0, func(l *loop) { err = l.poller.Add(always, stale, poller.Readable) })
	if err != nil {
		t.Fatal(err)
	}
	const messages = 100
	for range messages {
		client.roundTrip([]byte("b"))
	}
	awaitUntil(t, "stale events are counted", func() bool { return s.loopStats().StaleEvents > 0 })
	s.onLoop(0, func(l *loop) { err = l.poller.Remove(always) })
	if err != nil {
		t.Fatal(err)
	}
	if n := calls.load(); n != messages {
		t.Errorf("%d callbacks for %d messages: stale events came through", n, messages)
	}
	select {
	case err := <-ended:
		t.Errorf("a stale event closed the connection: %v", err)
	default:
	}
}

// Pain 2: a Go pointer in epoll's user data, which the garbage collector does
// not see, is freed under the kernel's feet and crashes the process with the
// next event (netpoll #362, gnet with poll_opt). Connections come, talk and go
// while nothing but the engine holds them and the collector runs without end.
func TestCollectorSeesEveryConnection(t *testing.T) {
	s := startBare(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{data: echo})
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	const clients, rounds = 40, 5
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for round := range rounds {
				fd, err := rawDial(s.ports[0])
				if err != nil {
					t.Error(err)
					return
				}
				message := fmt.Sprintf("client %d round %d", i, round)
				for range 10 {
					if _, err := unix.Write(fd, []byte(message)); err != nil {
						t.Errorf("%s: %v", message, err)
						break
					}
					b := make([]byte, len(message))
					if n, err := unix.Read(fd, b); err != nil || string(b[:n]) != message {
						t.Errorf("%s: got %q, %v", message, b[:max(n, 0)], err)
						break
					}
				}
				_ = unix.Close(fd)
			}
		})
	}
	awaitAll(t, &wg, "the clients")
	close(stop)
	awaitAll(t, &collector, "the collector")
	awaitUntil(t, "all connections are closed", func() bool { return s.loopStats().Conns == 0 })
	if got := s.stats().Accepted; got != clients*rounds {
		t.Errorf("%d connections accepted, want %d", got, clients*rounds)
	}
}

// identity tells a descriptor's file from all others.
type identity struct {
	fd  int
	dev uint64
	ino uint64
}

func identify(fd int) (identity, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return identity{fd, st.Dev, st.Ino}, err
}

// Pain 3: the descriptor is closed before OnClose (gnet #621), so that a
// handler that still writes, or shares the number with somebody, reaches
// another's file. Whatever ends the connection, its number must still be its
// own in OnClose, and a Write there must be refused.
func TestDescriptorIsStillOursInOnClose(t *testing.T) {
	for _, end := range []struct {
		name string
		cfg  Config
		end  func(*client, *Conn)
	}{
		{"the peer closes", Config{}, func(c *client, _ *Conn) { _ = c.Close() }},
		{"the peer resets", Config{}, func(c *client, _ *Conn) { c.reset() }},
		{"Close", Config{}, func(c *client, conn *Conn) { conn.Close(); c.wantEOF(); _ = c.Close() }},
		{"CloseNow", Config{}, func(_ *client, conn *Conn) { conn.CloseNow() }},
		{"a panic", Config{}, func(_ *client, conn *Conn) { conn.Call(func(*Conn) { panic("boom") }) }},
		{"the idle timeout", Config{}, func(_ *client, conn *Conn) {
			conn.Call(func(c *Conn) { c.SetIdleTimeout(time.Millisecond) }) // not in Config: its reset may come before dial is through
		}},
		{"the linger timeout", Config{LingerTimeout: time.Millisecond}, func(_ *client, conn *Conn) { conn.Close() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			opened, ended := make(chan *Conn, 1), make(chan error, 1)
			s := startServer(t, end.cfg, hooks{
				open: func(c *Conn) {
					id, err := identify(c.fd)
					if err != nil {
						t.Error(err)
					}
					c.SetContext(id)
					opened <- c
				},
				closed: func(c *Conn, err error) {
					was := c.Context().(identity)
					if is, err := identify(was.fd); is != was {
						t.Errorf("in OnClose descriptor %d is another file's: %v, was %v (%v)", was.fd, is, was, err)
					}
					if _, err := c.Write([]byte("late")); !errors.Is(err, ErrClosed) {
						t.Errorf("Write in OnClose: %v, want ErrClosed", err)
					}
					if addr := c.LocalAddr(); addr.IsValid() {
						t.Errorf("LocalAddr in OnClose is %v, want none", addr)
					}
					ended <- err
				},
			})
			client := s.dial()
			conn := await(t, opened, "OnOpen")
			end.end(client, conn)
			_ = await(t, ended, "OnClose")
			fd := -1
			s.onLoop(0, func(*loop) { fd = conn.fd })
			if fd != -1 {
				t.Errorf("the closed connection still knows descriptor %d", fd)
			}
		})
	}
}

// useClosed calls everything on a connection that is closed.
func useClosed(c *Conn) {
	buf := []byte("poison!!") // eight bytes, as an eventfd takes
	c.AsyncWrite(buf, nil)
	c.Wake()
	c.CloseWrite()
	c.Close()
	c.CloseNow()
	c.Call(func(c *Conn) {
		_, _ = c.Write(buf)
		_, _ = c.Write(make([]byte, 2*directWrite))
		_ = c.LocalAddr()
		c.Pause()
		c.Resume()
		c.SetDeadline(time.Unix(1, 0))
		c.SetIdleTimeout(1)
		c.SetTimer(1)
		c.Discard(1)
	})
}

// Pain 3, afterwards: a connection that is kept after its end writes into, shuts
// down or closes whatever has got its descriptor's number (gnet #621; netpoll
// and evio closed a listener's number twice).
func TestClosedConnLeavesItsNumberAlone(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open:   func(c *Conn) { opened <- c },
		closed: func(c *Conn, err error) { ended <- err },
	})
	for range 20 {
		client := s.dial()
		c := await(t, opened, "a connection")
		var number int
		onConn(t, c, func(c *Conn) { number = c.fd })
		c.CloseNow()
		_ = await(t, ended, "its end")
		s.onLoop(0, func(*loop) {}) // its turn is over: the number is free
		other, ok := squat(t, number)
		if !ok {
			t.Fatalf("descriptor %d of a closed connection is still open", number)
		}
		useClosed(c)
		onConn(t, c, func(*Conn) {}) // all of the above has run
		s.onLoop(0, func(*loop) {})
		other.mustBeUntouched(t)
		_ = client.Close()
	}
}

// Pain 4: a Wake after the poller was closed writes eight bytes into an
// unrelated descriptor (gnet, reproduced; netty #9476). After Shutdown every
// number that the engine had is given to a stranger, and nothing that is
// called on old connections and on the engine may touch one.
func TestNothingTouchesDescriptorsAfterShutdown(t *testing.T) {
	opened := make(chan *Conn, 8)
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{open: func(c *Conn) { opened <- c }})
	var conns []*Conn
	for range cap(opened) {
		s.dial()
		conns = append(conns, await(t, opened, "a connection"))
	}
	before := openDescriptors(t)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(now); !errors.Is(err, ErrDrained) {
		t.Fatalf("Shutdown without time: %v, want ErrDrained", err)
	}
	after := openDescriptors(t)
	var strangers []stranger
	for fd := range before {
		if after[fd] {
			continue
		}
		if other, ok := squat(t, fd); ok {
			strangers = append(strangers, other)
		}
	}
	// Each loop had an epoll and an event descriptor and a listener between
	// them; home's handle; the connections.
	if want := 2*2 + 1 + 1 + len(conns); len(strangers) < want {
		t.Fatalf("Shutdown has freed %d descriptors, want %d at least", len(strangers), want)
	}
	for _, c := range conns {
		useClosed(c)
		if c.Call(func(*Conn) { t.Error("a Call ran after Shutdown") }) {
			t.Error("Call says that it will run after Shutdown")
		}
	}
	_ = s.Handle("tcp", 0, BaseHandler{})
	_ = s.Stats()
	_ = s.Shutdown(context.Background())
	for _, l := range s.loops {
		l.post(task{kind: taskLoop, run: func(*loop) { t.Error("a task ran after Shutdown") }})
		_ = l.poller.Wake()
	}
	for _, other := range strangers {
		other.mustBeUntouched(t)
	}
}

// Pain 4, as a race: the calls come while the loops close their pollers. What
// is wrong shows as a write to a closed or foreign descriptor, which the race
// detector and the leak check don't see, or as a panic or a lost answer.
func TestCallsDuringShutdown(t *testing.T) {
	for range 20 {
		opened := make(chan *Conn, 4)
		s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{open: func(c *Conn) { opened <- c }})
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for range cap(opened) {
			s.dial()
			c := await(t, opened, "a connection")
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c.AsyncWrite([]byte("x"), nil)
					c.Wake()
					answered := make(chan struct{})
					if c.Call(func(*Conn) { close(answered) }) {
						await(t, answered, "a Call that was promised to run")
					}
				}
			})
		}
		s.cutOff()
		close(stop)
		awaitAll(t, &callers, "the callers")
	}
}

// Pain 5: a wakeup that comes while the loop is falling asleep is lost (netty
// #5258, #9561), and the loop sleeps on although there is something to do. No
// event of a socket comes to the rescue here: each call waits for the one
// before, so that one that is lost is the last.
func TestNoWakeupIsLost(t *testing.T) {
	opened, woken := make(chan *Conn, 1), make(chan struct{})
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		wake: func(*Conn) { woken <- struct{}{} },
	})
	s.dial()
	c := await(t, opened, "a connection")
	for range 5000 {
		c.Wake()
		await(t, woken, "OnWake")
		onConn(t, c, func(*Conn) {})
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 2000 {
				done := make(chan error, 1)
				c.AsyncWrite(nil, func(err error) { done <- err })
				if err := await(t, done, "an AsyncWrite's answer"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	awaitAll(t, &callers, "the callers")
}

// Pain 5, the other half: OnOpen is missing or comes second when a connection
// is handed from the accepting loop to its own while its first bytes, its end
// or its reset are there already (gnet #179). The referee sees to the order.
func TestOpenComesFirstAndCloseLast(t *testing.T) {
	var mu sync.Mutex
	heard, ended := 0, 0
	s := startServer(t, Config{Loops: 3, Accept: AcceptSpread}, hooks{
		data: func(c *Conn) {
			mu.Lock()
			defer mu.Unlock()
			heard += c.Discard(c.Buffered())
		},
		closed: func(*Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			ended++
		},
	})
	const each = 100
	var clients sync.WaitGroup
	for kind := range 3 {
		clients.Go(func() {
			for range each {
				fd, err := rawDial(s.ports[0])
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = unix.Write(fd, []byte("first"))
				if kind == 1 {
					_ = unix.Shutdown(fd, unix.SHUT_WR)
				}
				if kind == 2 {
					setReset(fd)
				}
				_ = unix.Close(fd)
			}
		})
	}
	awaitAll(t, &clients, "the clients")
	awaitUntil(t, "all have ended", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return ended == 3*each
	})
	if want := 2 * each * len("first"); heard < want {
		t.Errorf("%d bytes heard, want those of the orderly clients at least: %d", heard, want)
	}
}

// Pain 19: a closed connection's duplicate (in a forked child, say) keeps its
// registration alive where EPOLL_CTL_DEL is left out (libuv joyent#1099), and
// the loop spins on events that belong to nobody.
func TestDuplicateOfAClosedConnDoesNotFire(t *testing.T) {
	opened, ended := make(chan *Conn, 1), make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			dup, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			c.SetContext(dup)
			opened <- c
		},
		closed: func(c *Conn, err error) { ended <- err },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	var dup int
	onConn(t, c, func(c *Conn) { dup = c.Context().(int) })
	defer unix.Close(dup)
	c.CloseNow()
	_ = await(t, ended, "its end")
	// The duplicate keeps the connection up: now it becomes readable, for good.
	client.send([]byte("anybody there?"))
	awaitUntil(t, "the duplicate is readable", func() bool {
		fds := []unix.PollFd{{Fd: int32(dup), Events: unix.POLLIN}}
		n, _ := unix.Poll(fds, 0)
		return n == 1
	})
	before := s.loopStats().StaleEvents
	s.mustBeQuiet(0, "a duplicate of a closed connection is readable")
	if stale := s.loopStats().StaleEvents - before; stale > 0 {
		t.Errorf("%d stale events: the closed connection is still registered", stale)
	}
}
