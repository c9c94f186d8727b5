package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// A wrong Handle is an ErrBadHandle, and changes nothing.
func TestHandleErrors(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	for _, wrong := range []struct {
		name, network string
		port          int
		h             Handler
	}{
		{"no network", "", 7, BaseHandler{}},
		{"udp", "udp", 7, BaseHandler{}},
		{"tcp4", "tcp4", 7, BaseHandler{}},
		{"negative port", "tcp", -1, BaseHandler{}},
		{"port too high", "tcp", 65536, BaseHandler{}},
		{"no handler", "tcp", 7, nil},
	} {
		err := s.Handle(wrong.network, wrong.port, wrong.h)
		var e *Error
		if !errors.Is(err, ErrBadHandle) || !errors.As(err, &e) || e.Op != "handle" {
			t.Errorf("%s: %v, want an *Error with ErrBadHandle", wrong.name, err)
		}
	}
	port := freePort(t)
	if err := s.Handle("tcp", port, hooks{data: echo}); err != nil {
		t.Fatal(err)
	}
	if err := s.Handle("tcp", port, hooks{data: echo}); !errors.Is(err, ErrBadHandle) {
		t.Errorf("a second handler for port %d: %v, want ErrBadHandle", port, err)
	}
	if n := len(s.stats().Listeners); n != 2 {
		t.Errorf("%d listeners, want 2", n)
	}
}

// freePort is a port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A handler that comes after Attach is served in the namespaces that are there.
func TestHandleAfterAttach(t *testing.T) {
	for _, cfg := range []Config{{}, {Loops: 2}, {Loops: 2, Accept: AcceptSpread}} {
		s := startServer(t, cfg)
		if p := s.home.Port("tcp", 0); p != 0 {
			t.Errorf("port 0 is served on %d without a handler", p)
		}
		port := freePort(t)
		if err := s.Handle("tcp", port, hooks{data: echo}); err != nil {
			t.Fatal(err)
		}
		if p := s.home.Port("tcp", port); p != port {
			t.Errorf("port %d is served on %d", port, p)
		}
		s.dialPort(port).roundTrip([]byte("hello"))
		s.cutOff()
	}
}

// takePort listens where an engine would, so that it can't.
func takePort(t testing.TB) (int, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port, l
}

// Attach serves all ports or none: where one is taken, the error says which,
// where and why, and nothing is left behind; with the port free it works.
func TestAttachWhereAPortIsTaken(t *testing.T) {
	for _, loops := range []int{1, 2} {
		s := startServer(t, Config{Loops: loops}, hooks{data: echo})
		if err := s.Detach(soon(t), s.home); err != nil {
			t.Fatal(err)
		}
		port, blocker := takePort(t)
		if err := s.Handle("tcp", port, hooks{data: echo}); err != nil {
			t.Fatal(err)
		}
		before := len(openDescriptors(t))
		ns, err := s.Attach(nsctx.Home())
		var e *Error
		if ns != nil || !errors.Is(err, unix.EADDRINUSE) || !errors.As(err, &e) {
			t.Fatalf("Attach: %v, %v, want an *Error with EADDRINUSE", ns, err)
		}
		if e.Op != "listen" || e.Namespace != "home" || int(e.Addr.Port()) != port {
			t.Errorf("Attach: op %q, namespace %q, address %v, want listen, home, port %d", e.Op, e.Namespace, e.Addr, port)
		}
		if n := len(s.Namespaces()); n != 0 {
			t.Errorf("%d namespaces are attached, want none", n)
		}
		if after := len(openDescriptors(t)); after != before {
			t.Errorf("the failed Attach has left %d descriptors", after-before)
		}
		_ = blocker.Close()
		if s.home, err = s.Attach(nsctx.Home()); err != nil {
			t.Fatal(err)
		}
		s.dialPort(port).roundTrip([]byte("hello"))
		s.cutOff()
	}
}

// A Handle after Attach is lenient: where its port is taken, that is shown and
// tried again, until the port is free.
func TestHandleWhereAPortIsTaken(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	port, blocker := takePort(t)
	if err := s.Handle("tcp", port, hooks{data: echo}); err != nil {
		t.Fatal(err)
	}
	l := s.stats().Listeners[1]
	if !errors.Is(l.Err, unix.EADDRINUSE) || l.Sockets != 0 {
		t.Errorf("the listener shows %+v, want EADDRINUSE", l)
	}
	if n := s.stats().Errors[ErrorListen]; n == 0 {
		t.Error("no listen error counted")
	}
	s.dial().roundTrip([]byte("the other port"))
	_ = blocker.Close()
	awaitUntil(t, "the port is served", func() bool { return s.stats().Listeners[1].Sockets > 0 })
	if err := s.stats().Listeners[1].Err; err != nil {
		t.Errorf("the listener still shows %v", err)
	}
	s.dialPort(port).roundTrip([]byte("hello"))
	if lines := s.log.find("port can't be served"); len(lines) != 1 {
		t.Errorf("logged %d times, want once: %q", len(lines), lines)
	}
}

// A namespace is attached once, by whatever name.
func TestAttachTwiceIsOnce(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	for _, ref := range []nsctx.Ref{nsctx.Home(), nsctx.ByPID(unix.Getpid()), nsctx.ByPath("/proc/thread-self/ns/net")} {
		ns, err := s.Attach(ref)
		if err != nil {
			t.Fatal(err)
		}
		if ns != s.home {
			t.Errorf("Attach(%v) is another namespace than Home's", ref)
		}
	}
	if got := s.Namespaces(); len(got) != 1 || got[0] != s.home || s.home.State() != StateServing {
		t.Errorf("attached: %v in state %v", got, s.home.State())
	}
	if name := s.home.Name(); name != "home" {
		t.Errorf("the name is %q, want the oldest: home", name)
	}
	if n := s.stats().Holds.Listeners; n != 1 {
		t.Errorf("%d listeners, want 1", n)
	}
}

// Detach lets connections finish, closes the port, and returns when the
// namespace is let go of; it can be attached again, as another.
func TestDetachAndAttachAgain(t *testing.T) {
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{data: echo})
	first := s.home
	client := s.dial()
	client.roundTrip([]byte("hello"))
	detached := make(chan error, 1)
	go func() { detached <- s.Detach(soon(t), first) }()
	client.wantEOF() // OnDrain has closed it
	_ = client.Close()
	if err := await(t, detached, "Detach"); err != nil {
		t.Fatal(err)
	}
	await(t, first.Released(), "Released")
	if first.State() != StateReleased || len(s.Namespaces()) != 0 {
		t.Errorf("state %v, %d namespaces", first.State(), len(s.Namespaces()))
	}
	if c, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", s.ports[0]), patience); err == nil {
		t.Error("a detached namespace's port is still open")
		_ = c.Close()
	}
	if err := s.Detach(soon(t), first); err != nil {
		t.Errorf("a second Detach: %v", err)
	}
	again, err := s.Attach(nsctx.Home())
	if err != nil {
		t.Fatal(err)
	}
	if again == first || again.ID() != first.ID() {
		t.Errorf("attached again: the same object %v, the same ID %v", again == first, again.ID() == first.ID())
	}
	s.dialPort(again.Port("tcp", 0)).roundTrip([]byte("hello again"))
}

// Detach's context bounds the drain: what is open then is reset. Detach of
// what was never attached is an ErrNotAttached.
func TestDetachInAHurry(t *testing.T) {
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{data: echo, drain: stay, closed: func(_ *Conn, err error) { ended <- err }})
	client := s.dial()
	client.roundTrip([]byte("hello"))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	// Whether the last of it is over before the context is a race.
	if err := s.Detach(ctx, s.home); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Detach: %v", err)
	}
	if err := await(t, ended, "OnClose"); !errors.Is(err, ErrDrained) {
		t.Errorf("OnClose got %v, want ErrDrained", err)
	}
	client.wantReset()
	await(t, s.home.Released(), "Released")

	other := startServer(t, Config{}, hooks{})
	if err := s.Detach(soon(t), other.home); !errors.Is(err, ErrNotAttached) {
		t.Errorf("Detach of another engine's namespace: %v, want ErrNotAttached", err)
	}
	if err := s.Detach(soon(t), nil); !errors.Is(err, ErrNotAttached) {
		t.Errorf("Detach of nil: %v, want ErrNotAttached", err)
	}
}

// After Shutdown every call says so.
func TestCallsAfterShutdown(t *testing.T) {
	s := startServer(t, Config{}, hooks{})
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	_, attach := s.Attach(nsctx.Home())
	for name, err := range map[string]error{
		"Handle": s.Handle("tcp", 0, BaseHandler{}),
		"Attach": attach,
		"Detach": s.Detach(soon(t), s.home),
		"Watch":  s.Watch(t.TempDir()),
	} {
		var e *Error
		if !errors.Is(err, ErrStopped) || !errors.As(err, &e) {
			t.Errorf("%s after Shutdown: %v, want an *Error with ErrStopped", name, err)
		}
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
	if err := s.Run(context.Background()); err != nil {
		t.Errorf("Run after Shutdown: %v", err)
	}
	if st := s.Stats(); !st.Stopped || !st.Draining || len(st.Namespaces) != 0 || len(st.Loops) != 1 {
		t.Errorf("Stats after Shutdown: %+v", st)
	}
	if s.home.State() != StateReleased {
		t.Errorf("home is %v after Shutdown", s.home.State())
	}
}

// A connection knows its ends, its port, its loop and its namespace, over IPv4
// and IPv6, and keeps what the handler gives it.
func TestConnKnowsItself(t *testing.T) {
	type facts struct {
		local, remote netip.AddrPort
		port, loop    int
		ns            *Namespace
		context       any
	}
	got := make(chan facts, 1)
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{
		open: func(c *Conn) {
			if c.Context() != nil {
				t.Errorf("a new connection's context is %v", c.Context())
			}
			c.SetContext(c.RemoteAddr().String())
		},
		data: func(c *Conn) {
			got <- facts{c.LocalAddr(), c.RemoteAddr(), c.Port(), c.Loop(), c.Namespace(), c.Context()}
		},
	})
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
		client := dialWith(t, host, s.ports[0], nil)
		client.send([]byte("x"))
		f := await(t, got, "OnData")
		if want := netip.AddrPortFrom(netip.MustParseAddr(host), uint16(s.ports[0])); f.local != want {
			t.Errorf("LocalAddr is %v, want %v", f.local, want)
		}
		if f.remote != client.addr() || f.context != client.addr().String() {
			t.Errorf("RemoteAddr is %v, the context %v, want %v", f.remote, f.context, client.addr())
		}
		if f.port != 0 || f.loop < 0 || f.loop > 1 || f.ns != s.home {
			t.Errorf("port %d, loop %d, namespace %v", f.port, f.loop, f.ns.Name())
		}
	}
}

// The numbers add up: loops and namespaces count the same connections, bytes in
// and out are what clients have sent and received.
func TestStatsAddUp(t *testing.T) {
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{data: echo}, hooks{data: echo})
	const clients, size = 9, 1000
	for i := range clients {
		c := s.dialPort(s.ports[i%2])
		c.roundTrip(make([]byte, size))
		if i%3 == 0 {
			_ = c.Close()
		}
	}
	const open = clients - clients/3
	awaitUntil(t, "a third is gone", func() bool { return s.stats().Conns == open && s.loopStats().Conns == open })
	for i := range s.loops {
		s.onLoop(i, func(*loop) {}) // a client may have its reply before it is counted
	}
	st := s.stats()
	if st.Accepted != clients || st.Rejected != 0 || st.BytesIn != clients*size || st.BytesOut != clients*size {
		t.Errorf("accepted %d, rejected %d, in %d, out %d", st.Accepted, st.Rejected, st.BytesIn, st.BytesOut)
	}
	if st.Errors != (ErrorCounts{}) {
		t.Errorf("errors counted: %v", st.Errors)
	}
	if st.State != StateServing || len(st.Listeners) != 2 || st.Holds.Listeners != 2 || st.Holds.Conns != open || !st.Holds.Handle || !st.Holds.Ours() {
		t.Errorf("state %v, %d listeners, holds %+v", st.State, len(st.Listeners), st.Holds)
	}
	sum := s.loopStats()
	if sum.Listeners != 2 || sum.Events == 0 || sum.Turns == 0 || sum.Waits == 0 {
		t.Errorf("loops: %d listeners, %d events, %d turns, %d waits", sum.Listeners, sum.Events, sum.Turns, sum.Waits)
	}
	for i, l := range s.Stats().Loops {
		if l.Index != i || l.TID == 0 || l.BatchEvents.Count() == 0 || l.TurnSeconds.Sum <= 0 {
			t.Errorf("loop %d: index %d, thread %d, %d batches, %v s", i, l.Index, l.TID, l.BatchEvents.Count(), l.TurnSeconds.Sum)
		}
	}
}

// Stats may be asked for by anybody at any time, while connections come and go
// and the engine ends. The race detector is the judge; counters never fall.
func TestStatsFromEverywhere(t *testing.T) {
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{data: echo})
	stop := make(chan struct{})
	var watchers sync.WaitGroup
	for range 3 {
		watchers.Go(func() {
			var last Stats
			for {
				st := s.Stats()
				for i := range last.Loops {
					if st.Loops[i].Events < last.Loops[i].Events || st.Loops[i].SwitchTime < last.Loops[i].SwitchTime {
						t.Errorf("loop %d counts backwards", i)
					}
				}
				last = st
				_ = s.home.State()
				_ = s.home.Names()
				_ = s.home.Port("tcp", 0)
				_ = s.Namespaces()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 50 {
		c := s.dial()
		c.roundTrip([]byte("hello"))
		_ = c.Close()
	}
	s.cutOff()
	close(stop)
	awaitAll(t, &watchers, "the watchers")
}

// A wrong Config is an ErrBadConfig, and starts nothing.
func TestNewErrors(t *testing.T) {
	before := len(openDescriptors(t))
	for _, cfg := range []Config{{Loops: -1}, {ReadChunk: 1}, {MaxConns: -1}, {LingerTimeout: -1}, {WriteBufferMax: 1}} {
		eng, err := New(cfg)
		var e *Error
		if eng != nil || !errors.Is(err, ErrBadConfig) || !errors.As(err, &e) {
			t.Errorf("New(%+v): %v, want an *Error with ErrBadConfig", cfg, err)
		}
	}
	if after := len(openDescriptors(t)); after != before {
		t.Errorf("%d descriptors are left", after-before)
	}
}

// An engine that is started and stopped leaves nothing: no descriptor, whatever
// TestMain says of goroutines.
func TestEnginesComeAndGo(t *testing.T) {
	run := func() {
		s := startServer(t, Config{Loops: 3}, hooks{data: echo})
		c := s.dial()
		c.roundTrip([]byte("hello"))
		_ = c.Close()
		s.cutOff()
	}
	run() // what the first one opens for good is no leak
	before := len(openDescriptors(t))
	for range 20 {
		run()
	}
	awaitUntil(t, "all descriptors are closed", func() bool { return len(openDescriptors(t)) <= before })
}

// Control lends the descriptor of an open connection, and none of a closed one,
// whose number may be somebody else's by then.
func TestControl(t *testing.T) {
	conns := make(chan *Conn, 1)
	protocols := make(chan int, 1)
	closed := make(chan struct{})
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { conns <- c },
		data: func(c *Conn) {
			err := c.Control(func(fd int) {
				protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
				if err != nil {
					t.Error(err)
				}
				protocols <- protocol
			})
			if err != nil {
				t.Error(err)
			}
		},
		closed: func(*Conn, error) { close(closed) },
	})
	client := s.dial()
	client.send([]byte("x"))
	if got := await(t, protocols, "Control"); got != unix.IPPROTO_TCP {
		t.Errorf("protocol %d, want TCP", got)
	}
	client.reset()
	await(t, closed, "OnClose")
	onConn(t, await(t, conns, "the connection"), func(c *Conn) {
		err := c.Control(func(int) { t.Error("called with a descriptor of a closed connection") })
		var e *Error
		if !errors.Is(err, ErrClosed) || !errors.As(err, &e) || e.Op != "control" {
			t.Errorf("closed: %v, want an *Error with ErrClosed", err)
		}
	})
}
