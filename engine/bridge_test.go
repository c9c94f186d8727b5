package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// listenHome starts an engine with a bridge on a port of home's.
func listenHome(t *testing.T, cfg Config) (*testServer, net.Listener) {
	t.Helper()
	s := startBare(t, cfg)
	unitMust(t, s.Detach(t.Context(), s.home))
	ln, err := s.Listener(0)
	unitMust(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	s.home, err = s.Attach(nsctx.Home())
	unitMust(t, err)
	s.ports = []int{s.home.Port("tcp", 0)}
	return s, ln
}

// accept is the next connection, until the test ends.
func accept(t *testing.T, ln net.Listener) *NetConn {
	t.Helper()
	type result struct {
		net.Conn
		error
	}
	got := make(chan result, 1)
	go func() {
		c, err := ln.Accept()
		got <- result{c, err}
	}()
	r := await(t, got, "Accept")
	unitMust(t, r.error)
	t.Cleanup(func() { _ = r.Close() })
	return r.Conn.(*NetConn)
}

// shake has a client and an accepted connection talk to each other.
func shake(t *testing.T, c *client, server net.Conn) {
	t.Helper()
	c.send([]byte("ping"))
	b := make([]byte, 4)
	if _, err := io.ReadFull(server, b); err != nil || string(b) != "ping" {
		t.Fatalf("read %q, %v", b, err)
	}
	_, err := server.Write([]byte("pong"))
	unitMust(t, err)
	if got := c.recv(4); string(got) != "pong" {
		t.Fatalf("received %q", got)
	}
}

func TestBridgeGivesRealConnections(t *testing.T) {
	s, ln := listenHome(t, Config{Loops: 2})
	c := s.dial()
	server := accept(t, ln)
	shake(t, c, server)

	if got := server.RemoteAddr().(*net.TCPAddr).AddrPort(); got != c.addr() {
		t.Errorf("RemoteAddr is %v, not %v", got, c.addr())
	}
	if got := server.LocalAddr().(*NetAddr).Port; got != s.ports[0] {
		t.Errorf("LocalAddr has port %d", got)
	}
	if ns, ok := NamespaceOf(server); !ok || ns != s.home {
		t.Errorf("NamespaceOf is %v, %v", ns, ok)
	}
	if ns, ok := NamespaceOfAddr(server.LocalAddr()); !ok || ns != s.home {
		t.Errorf("NamespaceOfAddr is %v, %v", ns, ok)
	}
	if st := s.stats(); st.Conns != 1 || st.Holds.Conns != 1 || st.Accepted != 1 || st.BytesIn != 4 || st.BytesOut != 4 {
		t.Errorf("stats are %+v", st)
	}

	// A deadline.
	unitMust(t, server.SetReadDeadline(time.Now().Add(time.Millisecond)))
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	unitMust(t, server.SetReadDeadline(time.Time{}))

	// A half-close, both ways, with sendfile(2) in between.
	file, err := os.CreateTemp(t.TempDir(), "")
	unitMust(t, err)
	defer file.Close()
	sent := pattern(1, 300_000)
	_, err = file.Write(sent)
	unitMust(t, err)
	_, err = file.Seek(0, io.SeekStart)
	unitMust(t, err)
	unitMust(t, c.CloseWrite())
	if n, err := io.Copy(server, file); err != nil || n != int64(len(sent)) {
		t.Errorf("sent %d bytes, %v", n, err)
	}
	unitMust(t, server.CloseWrite())
	wantSame(t, c.recvAll(), sent)
	if b, err := io.ReadAll(server); len(b) > 0 || err != nil {
		t.Errorf("read %q, %v; want the end", b, err)
	}
	unitMust(t, server.Close())
	if st := s.stats(); st.Conns != 0 || st.BytesOut != uint64(4+len(sent)) {
		t.Errorf("after Close: stats are %+v", st)
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
}

// The engine's socket options hold, not those that package net gives its connections.
func TestBridgeKeepsSocketOptions(t *testing.T) {
	for _, keepAlive := range []time.Duration{0, -1, 90 * time.Second} {
		s, ln := listenHome(t, Config{KeepAlive: keepAlive})
		s.dial()
		server := accept(t, ln)
		raw, err := server.SyscallConn()
		unitMust(t, err)
		unitMust(t, raw.Control(func(fd uintptr) {
			want := append(keepAliveOptions(s.cfg.KeepAlive),
				socketOption{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds(s.cfg.UserTimeout)},
				socketOption{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1})
			for _, o := range want {
				if got, err := unix.GetsockoptInt(int(fd), o.level, o.name); err != nil || got != o.value {
					t.Errorf("keepalive %v: option %d is %d, %v; want %d", keepAlive, o.name, got, err, o.value)
				}
			}
		}))
	}
}

func TestBridgeRefusesWrongCalls(t *testing.T) {
	s, _ := listenHome(t, Config{})
	unitMust(t, s.Handle("tcp", 7, hooks{}))
	for _, port := range []int{-1, 65536, 7} {
		if ln, err := s.Listener(port); !errors.Is(err, ErrBadHandle) {
			t.Errorf("port %d: %v, %v", port, ln, err)
		}
	}
}

// Limits reset what is above them, as they do for handlers.
func TestBridgeKeepsLimits(t *testing.T) {
	for _, cfg := range []Config{{MaxConns: 1}, {MaxConnsPerNamespace: 1}} {
		s, ln := listenHome(t, cfg)
		c := s.dial()
		server := accept(t, ln)
		wantRefusal(t, s.ports[0])
		shake(t, c, server)
		unitMust(t, server.Close())
		c.wantEOF()
		c = s.dial()
		shake(t, c, accept(t, ln))
		if st := s.stats(); st.Accepted != 2 || st.Rejected != 1 {
			t.Errorf("%d accepted, %d rejected", st.Accepted, st.Rejected)
		}
	}
}

// wantRefusal wants a connection to be reset, before or after connect(2) sees it.
func wantRefusal(t *testing.T, port int) {
	t.Helper()
	fd, err := rawDial(port)
	if err == nil {
		_, err = unix.Read(fd, make([]byte, 1))
		_ = unix.Close(fd)
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// What Accept does not take waits in the queue and then in the kernel's backlog;
// nothing is lost.
func TestBridgeBackpressure(t *testing.T) {
	s, ln := listenHome(t, Config{})
	const all = acceptQueue + 50
	clients := make(chan *client, all)
	go func() {
		defer close(clients)
		for range all {
			clients <- s.dial()
		}
	}()
	awaitUntil(t, "the queue is full", func() bool { return s.stats().Conns == acceptQueue })
	s.mustBeQuiet(0, "nobody accepts")
	if got := s.stats().Accepted; got != acceptQueue {
		t.Errorf("%d were accepted, %d may wait", got, acceptQueue)
	}
	for range all {
		server := accept(t, ln)
		_, err := server.Write([]byte("x"))
		unitMust(t, err)
		unitMust(t, server.Close())
	}
	for c := range clients {
		if got := c.recvAll(); string(got) != "x" {
			t.Fatalf("received %q", got)
		}
	}
}

// Close closes the port everywhere and resets what waits; what was accepted goes on,
// and the port may be had again.
func TestBridgeClose(t *testing.T) {
	s, ln := listenHome(t, Config{Loops: 2})
	c := s.dial()
	server := accept(t, ln)
	waiting := s.dial()
	awaitUntil(t, "the second connection waits", func() bool { return s.stats().Conns == 2 })
	unitMust(t, ln.Close())
	waiting.wantReset()
	shake(t, c, server)
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if n := s.loopStats().Listeners; n != 0 || len(s.stats().Listeners) != 0 {
		t.Errorf("%d sockets are left, %+v", n, s.stats().Listeners)
	}

	port := s.ports[0]
	again, err := s.Listener(port)
	unitMust(t, err)
	if got := s.home.Port("tcp", port); got != port {
		t.Fatalf("port %d is served on %d", port, got)
	}
	shake(t, s.dialPort(port), accept(t, again))
	unitMust(t, again.Close())
}

// A drain tells by Draining, and resets at its end what is still there, whether a
// goroutine reads it, holds it, or nobody has accepted it.
func TestBridgeDrain(t *testing.T) {
	s, ln := listenHome(t, Config{Loops: 2})
	read, held, left := s.dial(), s.dial(), s.dial()
	byPeer := map[string]*NetConn{}
	for range 3 {
		server := accept(t, ln)
		byPeer[server.RemoteAddr().String()] = server
	}
	of := func(c *client) *NetConn { return byPeer[c.LocalAddr().String()] }
	waiting := s.dial()
	awaitUntil(t, "four connections", func() bool { return s.stats().Conns == 4 })
	ended := make(chan error, 1)
	go func() {
		_, err := of(read).Read(make([]byte, 1))
		ended <- err
	}()
	gone := make(chan error, 1)
	go func() {
		limit, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer stop()
		gone <- s.Detach(limit, s.home)
	}()
	await(t, s.home.Draining(), "Draining")
	unitMust(t, of(left).Close()) // it leaves in time
	left.wantEOF()
	if err := await(t, ended, "a Read"); !errors.Is(err, ErrDrained) {
		t.Errorf("Read ends with %v", err)
	}
	_ = await(t, gone, "Detach")
	await(t, s.home.Released(), "the namespace's end")
	for _, c := range []*client{read, held, waiting} {
		c.wantReset()
	}
	if _, err := of(held).Write([]byte("x")); !errors.Is(err, ErrDrained) {
		t.Errorf("Write after the drain: %v", err)
	}
	if got := s.Stats().Gone.Errors[ErrorDrain]; got != 3 {
		t.Errorf("%d resets are counted", got)
	}
}

// Shutdown gives Accept what the backlogs hold, then ends it.
func TestBridgeShutdown(t *testing.T) {
	s, ln := listenHome(t, Config{})
	release := s.hold(0)
	c := s.dial() // is in the backlog
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(soon(t)) }()
	await(t, s.home.Draining(), "the drain")
	release()
	server := accept(t, ln)
	shake(t, c, server)
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the last connection: %v", err)
	}
	unitMust(t, server.Close())
	unitMust(t, await(t, ended, "Shutdown"))
	unitMust(t, ln.Close())
}

// What goroutines hold at the deadline is reset, also if a handler blocks the loop
// that has accepted it.
func TestBridgeShutdownResets(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		s, ln := listenHome(t, Config{StallAfter: 20 * time.Millisecond})
		c := s.dial()
		server := accept(t, ln)
		if blocked {
			s.hold(0)
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		err := s.Shutdown(now)
		if !blocked && !errors.Is(err, ErrDrained) {
			t.Errorf("Shutdown says %v", err)
		}
		c.wantReset()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, ErrDrained) {
			t.Errorf("Read says %v", err)
		}
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept says %v", err)
		}
	}
}

// A lack of descriptors keeps connections waiting; none is lost.
func TestBridgeWithoutDescriptors(t *testing.T) {
	s, ln := listenHome(t, Config{})
	c := s.dial()
	awaitUntil(t, "it waits for Accept", func() bool { return s.stats().Conns == 1 })
	giveBack := exhaust(t, 0)
	got := make(chan net.Conn, 1)
	go func() {
		server, _ := ln.Accept()
		got <- server
	}()
	s.log.await(t, "cannot accept; pausing", "RLIMIT_NOFILE")
	giveBack()
	server := await(t, got, "Accept")
	shake(t, c, server)
	unitMust(t, server.Close())
	if got := s.stats().Errors[ErrorAcceptLimit]; got == 0 {
		t.Error("the lack is not counted")
	}
}

// exhaust takes all descriptors that there are but a few, until the function it
// returns is called.
func exhaust(t *testing.T, but int) (giveBack func()) {
	t.Helper()
	var before unix.Rlimit
	unitMust(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	low := before
	low.Cur = uint64(slices.Max(slices.Collect(keys(openDescriptors(t)))) + 1 + but)
	var taken []int
	unitMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for range but {
		_ = unix.Close(taken[0])
		taken = taken[1:]
	}
	giveBack = sync.OnceFunc(func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		unitMust(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	})
	t.Cleanup(giveBack)
	return giveBack
}

func keys(m map[int]bool) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// detaching detaches each connection at the first byte of a batch of input that
// prepare has let pass.
type detaching struct {
	hooks
	conns chan net.Conn
	ends  chan error
}

func newDetaching(prepare func(*Conn)) *detaching {
	d := &detaching{conns: make(chan net.Conn, 1), ends: make(chan error, 1)}
	d.data = func(c *Conn) {
		prepare(c)
		conn, err := c.Detach()
		if err != nil {
			d.ends <- err
			return
		}
		d.conns <- conn
	}
	d.closed = func(_ *Conn, err error) { d.ends <- err }
	return d
}

func (d *detaching) conn(t *testing.T) *NetConn {
	t.Helper()
	c := await(t, d.conns, "Detach").(*NetConn)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDetach(t *testing.T) {
	var was *Conn
	d := newDetaching(func(c *Conn) {
		was = c
		c.SetIdleTimeout(time.Millisecond) // is the loop's
		c.Discard(2)
		_, _ = c.Write([]byte("hello "))
	})
	s := startServer(t, Config{}, d)
	c := s.dial()
	c.send([]byte("abcdef"))
	conn := d.conn(t)
	if err := await(t, d.ends, "OnClose"); !errors.Is(err, ErrDetached) || !errors.Is(err, ErrClosed) {
		t.Errorf("OnClose got %v", err)
	}
	_, err := conn.Write([]byte("world"))
	unitMust(t, err)
	if got := c.recv(11); string(got) != "hello world" {
		t.Errorf("received %q", got)
	}
	c.send([]byte("ghi"))
	unitMust(t, c.CloseWrite())
	if b, err := io.ReadAll(conn); err != nil || string(b) != "cdefghi" {
		t.Errorf("read %q, %v", b, err)
	}
	if ns, _ := NamespaceOf(conn); ns != s.home {
		t.Errorf("it is in %v", ns)
	}
	onConn(t, was, func(c *Conn) {
		if _, err := c.Write([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Write on what was detached: %v", err)
		}
		if _, err := c.Detach(); !errors.Is(err, ErrClosed) {
			t.Errorf("a second Detach: %v", err)
		}
	})
	if st := s.stats(); st.Conns != 1 || st.BytesIn != 9 || st.BytesOut != 11 {
		t.Errorf("stats are %+v", st)
	}
	unitMust(t, conn.Close())
	c.wantEOF()
	if n := s.stats().Conns; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// What the handler wrote goes out first and whole, also if nobody writes any more,
// and its CloseWrite after it.
func TestDetachWithUnsentOutput(t *testing.T) {
	sent := pattern(3, 8<<20)
	for _, test := range []struct {
		name string
		then func(*testing.T, *NetConn)
		want []byte
	}{
		{"nothing follows", func(t *testing.T, c *NetConn) {}, sent},
		{"Write follows", func(t *testing.T, c *NetConn) {
			if _, err := c.Write([]byte("end")); err != nil {
				t.Error(err)
			}
		}, append(bytes.Clone(sent), "end"...)},
		{"ReadFrom follows", func(t *testing.T, c *NetConn) {
			if _, err := io.Copy(c, bytes.NewReader([]byte("end"))); err != nil {
				t.Error(err)
			}
		}, append(bytes.Clone(sent), "end"...)},
		{"CloseWrite follows", func(t *testing.T, c *NetConn) {
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		}, sent},
		{"Close follows", func(t *testing.T, c *NetConn) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}, sent},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDetaching(func(c *Conn) { _, _ = c.Write(sent); c.Discard(1) })
			s := startServer(t, Config{}, d)
			c := s.dialSmall(64 << 10)
			c.send([]byte("x"))
			conn := d.conn(t)
			var work sync.WaitGroup
			work.Go(func() { test.then(t, conn) })
			wantSame(t, c.recv(len(test.want)), test.want)
			awaitAll(t, &work, "what follows")
			_ = await(t, d.ends, "OnClose")
		})
	}
}

// A peer that does not take the rest gets a reset, not an end that looks whole.
func TestDetachedCloseDoesNotWaitForever(t *testing.T) {
	d := newDetaching(func(c *Conn) { _, _ = c.Write(make([]byte, 8<<20)) })
	s := startServer(t, Config{LingerTimeout: 10 * time.Millisecond}, d)
	c := s.dialSmall(64 << 10)
	c.send([]byte("x"))
	unitMust(t, d.conn(t).Close())
	_ = await(t, d.ends, "OnClose")
	c.wantReset()
}

func TestDetachAfterCloseWrite(t *testing.T) {
	sent := pattern(4, 1<<20)
	var conn *Conn
	d := newDetaching(func(c *Conn) { conn = c })
	detach := d.data
	d.data = func(c *Conn) {
		_, _ = c.Write(sent)
		c.Discard(c.Buffered())
		c.CloseWrite()
		c.Wake()
	}
	d.wake = detach
	s := startServer(t, Config{}, d)
	c := s.dial()
	c.send([]byte("x"))
	server := d.conn(t)
	wantSame(t, c.recvAll(), sent)
	_ = await(t, d.ends, "OnClose")
	if conn == nil || server == nil {
		t.Error("nothing was detached")
	}
}

// Where a connection can't be detached it stays as it is.
func TestDetachRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*Conn)
		want    error
	}{
		{"a filter", func(c *Conn) { c.SetFilter(plain{}) }, ErrNotDetachable},
		{"a ReadInto", func(c *Conn) { c.ReadInto(make([]byte, 10), nil) }, ErrNotDetachable},
		{"a Close", func(c *Conn) { c.Close() }, ErrClosed},
		{"a Fail", func(c *Conn) { c.Fail(io.ErrUnexpectedEOF) }, ErrClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDetaching(func(c *Conn) { c.Discard(1); test.prepare(c) })
			s := startServer(t, Config{}, d)
			c := s.dial()
			c.send([]byte("x"))
			if err := await(t, d.ends, "Detach"); !errors.Is(err, test.want) {
				t.Errorf("Detach says %v", err)
			}
		})
	}
}

// plain is a filter that changes nothing.
type plain struct{}

func (plain) Input(w *Wire, p []byte) error  { w.Deliver(p); return nil }
func (plain) InputEOF(*Wire) error           { return nil }
func (plain) Output(w *Wire, p []byte) error { _, err := w.Write(p); return err }
func (plain) CloseOutput(*Wire) error        { return nil }
func (plain) Closed(*Wire)                   {}

// Without descriptors, of which Detach takes two, the connection stays on its loop,
// whose reads must not block: all descriptors of a socket share that flag.
func TestDetachWithoutDescriptors(t *testing.T) {
	for spare := range 2 {
		failed := make(chan error, 1)
		var giveBack func()
		s := startServer(t, Config{}, hooks{data: func(c *Conn) {
			if b, _ := c.Next(c.Buffered()); string(b) == "detach" {
				giveBack = exhaust(t, spare)
				_, err := c.Detach()
				giveBack()
				failed <- err
				return
			}
			_, _ = c.Write([]byte("still here"))
		}})
		c := s.dial()
		c.send([]byte("detach"))
		if err := await(t, failed, "Detach"); !errors.Is(err, ErrDescriptors) {
			t.Errorf("Detach says %v", err)
		}
		s.onLoop(0, func(l *loop) {
			for _, conn := range l.connsOf(s.home.cells[0]) {
				if flags, err := unix.FcntlInt(uintptr(conn.fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
					t.Errorf("the socket blocks: flags %#x, %v", flags, err)
				}
			}
		})
		c.send([]byte("x"))
		if got := c.recv(10); string(got) != "still here" {
			t.Errorf("received %q", got)
		}
	}
}

// A detached connection is drained as those of a bridge are.
func TestDetachedIsDrained(t *testing.T) {
	d := newDetaching(func(*Conn) {})
	s := startServer(t, Config{}, d)
	c := s.dial()
	c.send([]byte("x"))
	conn := d.conn(t)
	_ = await(t, d.ends, "OnClose")
	limit, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	// It once counted as three: each way to the end had it reset.
	if err := s.Shutdown(limit); !errors.Is(err, ErrDrained) || !strings.Contains(err.Error(), ": 1 connections") {
		t.Errorf("Shutdown says %v", err)
	}
	c.wantReset()
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, ErrDrained) {
		t.Errorf("reading says %v", err)
	}
	if got := s.Stats().Gone.Errors[ErrorDrain]; got != 1 {
		t.Errorf("%d connections are counted as reset", got)
	}
}
