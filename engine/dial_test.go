package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// dialPlan is what happens to a dialed connection, for a test to wait for.
type dialPlan struct {
	hooks
	opened chan *Conn
	ended  chan error
}

// plan makes a dialPlan of hooks.
func plan(h hooks) *dialPlan {
	p := &dialPlan{hooks: h, opened: make(chan *Conn, 1), ended: make(chan error, 1)}
	open, closed := h.open, h.closed
	p.open = func(c *Conn) {
		p.opened <- c
		if open != nil {
			open(c)
		}
	}
	p.closed = func(c *Conn, err error) {
		if closed != nil {
			closed(c, err)
		}
		p.ended <- err
	}
	return p
}

// mustFail waits for the end of a dial that comes to nothing, as errors.Is
// knows it.
func (p *dialPlan) mustFail(t testing.TB, want error) {
	t.Helper()
	err := await(t, p.ended, "OnClose")
	if len(p.opened) > 0 {
		t.Error("OnOpen was called")
	}
	var e *Error
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Errorf("OnClose got %v, want %v in an *Error", err, want)
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// connect dials an address in home.
func (s *testServer) connect(network, address string, h Handler, options ...DialOption) *Conn {
	s.t.Helper()
	c, err := s.Dial(s.home, network, address, h, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// deafPort is a port of 127.0.0.1 on which connecting takes for ever: its
// listener's queue is full, so that SYNs are dropped. accept takes one out.
func deafPort(t testing.TB) (port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	unitMust(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	unitMust(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	unitMust(t, unix.Listen(fd, 0))
	addr, err := localAddr(fd)
	unitMust(t, err)
	filler, err := rawDial(int(addr.Port()))
	unitMust(t, err)
	t.Cleanup(func() { _ = unix.Close(filler) })
	return int(addr.Port())
}

// refusingPort is a port of 127.0.0.1 that is nobody's. It stays bound, so that
// nobody else gets it.
func refusingPort(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	unitMust(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	unitMust(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	addr, err := localAddr(fd)
	unitMust(t, err)
	return int(addr.Port())
}

// A dialed connection lives as an accepted one does.
func TestDial(t *testing.T) {
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			s := startServer(t, Config{}, hooks{data: echo})
			host := map[bool]string{true: "::1", false: "127.0.0.1"}[network == "tcp6"]
			text := pattern(1, 100<<10)
			var got []byte
			p := plan(hooks{
				open: func(c *Conn) {
					_, _ = c.Write(text)
					c.CloseWrite()
				},
				data: func(c *Conn) {
					b, _ := c.Next(c.Buffered())
					got = append(got, b...)
				},
			})
			s.connect(network, net.JoinHostPort(host, strconv.Itoa(s.ports[0])), s.refereed(p), WithContext("mine"))
			c := await(t, p.opened, "OnOpen")
			if c.Namespace() != s.home || c.Port() != s.ports[0] || c.RemoteAddr().Addr().String() != host || int(c.RemoteAddr().Port()) != s.ports[0] {
				t.Errorf("connected to %v, port %d, in %s", c.RemoteAddr(), c.Port(), c.Namespace().Name())
			}
			if err := await(t, p.ended, "OnClose"); err != nil {
				t.Errorf("OnClose got %v", err)
			}
			wantSame(t, got, text)
			if st := s.stats(); st.Dialed != 1 || st.Accepted != 1 || st.Errors != (ErrorCounts{}) {
				t.Errorf("dialed %d, accepted %d, errors %v", st.Dialed, st.Accepted, st.Errors)
			}
		})
	}
}

// What is written before there is a connection goes out first, in order, whatever
// its size; and what was asked for meanwhile happens after OnOpen.
func TestDialWriteBeforeConnect(t *testing.T) {
	first, second, third := pattern(1, 100), pattern(2, 300<<10), pattern(3, 50<<10)
	var order []string
	say := func(word string) func(*Conn) { return func(*Conn) { order = append(order, word) } }
	var got []byte
	var value any
	p := plan(hooks{
		open: func(c *Conn) {
			order = append(order, "open")
			value = c.Context()
			_, _ = c.Write(third)
		},
		data: func(c *Conn) {
			b, _ := c.Next(c.Buffered())
			got = append(got, b...)
		},
		wake: say("wake"), timer: say("timer"),
	})
	p.timer = func(c *Conn) { order = append(order, "timer"); c.CloseWrite() }
	accepted := make(chan *Conn, 1)
	s := startServer(t, Config{}, hooks{data: echo}, hooks{open: func(c *Conn) { accepted <- c }})
	s.dialPort(s.ports[1])
	h := s.refereed(p)
	onConn(t, await(t, accepted, "OnOpen"), func(c *Conn) {
		d, err := c.Dial("tcp", loopback(s.ports[0]), h)
		if err != nil {
			t.Error(err)
			return
		}
		for _, text := range [][]byte{first, second} {
			if n, err := d.Write(text); n != len(text) || err != nil {
				t.Errorf("Write took %d, %v", n, err)
			}
		}
		d.SetContext("mine")
		d.Wake()
		d.SetTimer(time.Nanosecond)
		if d.Unsent() != len(first)+len(second) || d.LocalAddr().IsValid() || d.Control(func(int) {}) == nil {
			t.Errorf("%d unsent, local address %v", d.Unsent(), d.LocalAddr())
		}
		c.Close()
	})
	if err := await(t, p.ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
	wantSame(t, got, slices.Concat(first, second, third))
	if fmt.Sprint(order) != "[open wake timer]" || value != "mine" {
		t.Errorf("callbacks %v with context %v", order, value)
	}
}

// Nobody listens.
func TestDialRefused(t *testing.T) {
	s := startServer(t, Config{Loops: 2})
	for range 20 {
		p := plan(hooks{})
		s.connect("tcp", loopback(refusingPort(t)), s.refereed(p))
		p.mustFail(t, unix.ECONNREFUSED)
	}
	if st := s.stats(); st.Errors[ErrorDial] != 20 || st.Dialed != 0 || st.Conns != 0 {
		t.Errorf("%d failures counted, %d dialed, %d open", st.Errors[ErrorDial], st.Dialed, st.Conns)
	}
}

// A socket that has become its own peer is not a connection.
func TestDialDoesNotConnectToItself(t *testing.T) {
	s := startServer(t, Config{})
	port := refusingPort(t)
	p := plan(hooks{})
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 2}), uint16(port))
	s.connect("tcp", addr.String(), s.refereed(p), LocalAddress(addr))
	p.mustFail(t, unix.ECONNREFUSED)
}

// The connection comes from the address that was asked for.
func TestDialLocalAddress(t *testing.T) {
	peers := make(chan netip.AddrPort, 1)
	s := startServer(t, Config{}, hooks{open: func(c *Conn) { peers <- c.RemoteAddr() }})
	local := netip.MustParseAddr("127.0.0.9")
	p := plan(hooks{open: func(c *Conn) { c.Close() }})
	s.connect("tcp", loopback(s.ports[0]), s.refereed(p), LocalAddress(netip.AddrPortFrom(local, 0)))
	if peer := await(t, peers, "OnOpen"); peer.Addr() != local {
		t.Errorf("connected from %v", peer)
	}
	if err := await(t, p.ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
	p = plan(hooks{})
	s.connect("tcp", loopback(s.ports[0]), s.refereed(p), LocalAddress(netip.MustParseAddrPort("192.0.2.1:0")))
	p.mustFail(t, unix.EADDRNOTAVAIL)
}

// Nobody answers.
func TestDialTimesOut(t *testing.T) {
	s := startServer(t, Config{DialTimeout: 20 * time.Millisecond})
	p := plan(hooks{})
	s.connect("tcp", loopback(deafPort(t)), s.refereed(p))
	p.mustFail(t, ErrDialTimeout)
	q := plan(hooks{})
	s.connect("tcp", loopback(deafPort(t)), s.refereed(q), DialTimeout(time.Millisecond))
	q.mustFail(t, ErrDialTimeout)
	if n := s.stats().Errors[ErrorDialTimeout]; n != 2 {
		t.Errorf("%d timeouts counted", n)
	}
	if left := s.loopStats().Conns; left != 0 {
		t.Errorf("%d connections left", left)
	}
}

// Whatever ends a connection ends one that is not made yet.
func TestDialIsGivenUp(t *testing.T) {
	reason := errors.New("changed my mind")
	for name, end := range map[string]struct {
		how  func(*Conn)
		want error
	}{
		"Close":       {func(c *Conn) { c.Close(); c.Close() }, ErrClosed},
		"CloseWith":   {func(c *Conn) { c.CloseWith(reason) }, reason},
		"CloseNow":    {func(c *Conn) { c.CloseNow() }, ErrClosedNow},
		"Fail":        {func(c *Conn) { c.Fail(reason) }, reason},
		"SetDeadline": {func(c *Conn) { c.SetDeadline(time.Now()) }, ErrDeadline},
	} {
		for _, when := range []string{"at once", "later"} {
			t.Run(name+" "+when, func(t *testing.T) {
				port := deafPort(t)
				p := plan(hooks{})
				accepted := make(chan *Conn, 1)
				s := startServer(t, Config{}, hooks{open: func(c *Conn) { accepted <- c }})
				s.dial()
				h := s.refereed(p)
				var c *Conn
				onConn(t, await(t, accepted, "OnOpen"), func(front *Conn) {
					var err error
					if c, err = front.Dial("tcp", loopback(port), h); err != nil {
						t.Error(err)
					} else if when == "at once" {
						end.how(c)
					}
				})
				if when == "later" {
					onConn(t, c, end.how)
				}
				p.mustFail(t, end.want)
				onConn(t, c, func(c *Conn) {
					if _, err := c.Write([]byte("x")); !errors.Is(err, ErrClosed) {
						t.Errorf("Write after OnClose: %v", err)
					}
				})
			})
		}
	}
}

// A Close waits for what was written before it, as ever; only OnOpen is not
// called any more.
func TestDialWriteClose(t *testing.T) {
	got := make(chan []byte, 1)
	s := startServer(t, Config{}, hooks{data: keep, eof: func(c *Conn) {
		b, _ := c.Peek(-1)
		got <- bytes.Clone(b)
		c.Close()
	}})
	p := plan(hooks{})
	release := s.hold(0)
	c := s.connect("tcp", loopback(s.ports[0]), s.refereed(p))
	c.AsyncWrite([]byte("the last word"), nil)
	c.Close()
	release()
	if b := await(t, got, "the peer"); string(b) != "the last word" {
		t.Errorf("the peer got %q", b)
	}
	if err := await(t, p.ended, "OnClose"); err != nil || len(p.opened) > 0 {
		t.Errorf("OnClose got %v, OnOpen was called %d times", err, len(p.opened))
	}
}

// A Wake that comes before there is a connection is answered when there is.
func TestDialWake(t *testing.T) {
	s := startServer(t, Config{}, hooks{})
	woken := make(chan struct{}, 2)
	p := plan(hooks{wake: func(c *Conn) { woken <- struct{}{} }})
	release := s.hold(0)
	c := s.connect("tcp", loopback(s.ports[0]), s.refereed(p))
	c.Wake()
	release()
	await(t, p.opened, "OnOpen")
	await(t, woken, "OnWake")
	c.Wake()
	await(t, woken, "another OnWake")
}

// The write half may be shut down before it is there.
func TestDialCloseWrite(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	var got []byte
	p := plan(hooks{data: func(c *Conn) {
		b, _ := c.Next(c.Buffered())
		got = append(got, b...)
	}})
	c := s.connect("tcp", loopback(s.ports[0]), s.refereed(p))
	c.AsyncWrite([]byte("hello"), nil)
	c.CloseWrite()
	if err := await(t, p.ended, "OnClose"); err != nil || string(got) != "hello" {
		t.Errorf("got %q, then OnClose with %v", got, err)
	}
}

// A wrong call has no connection.
func TestDialBadCalls(t *testing.T) {
	s, other := startServer(t, Config{}), startServer(t, Config{})
	long := string(bytes.Repeat([]byte{'x'}, 108))
	for _, call := range []struct {
		network, address string
		options          []DialOption
	}{
		{"udp", "127.0.0.1:7", nil},
		{"", "127.0.0.1:7", nil},
		{"tcp", "127.0.0.1", nil},
		{"tcp", "127.0.0.1:0", nil},
		{"tcp", "127.0.0.1:65536", nil},
		{"tcp", "127.0.0.1:-1", nil},
		{"tcp", "127.0.0.1:http", nil},
		{"tcp", ":7", nil},
		{"tcp", "a b:7", nil},
		{"tcp", string(bytes.Repeat([]byte{'x'}, 256)) + ":7", nil},
		{"tcp4", "[::1]:7", nil},
		{"tcp6", "127.0.0.1:7", nil},
		{"tcp6", "[::ffff:127.0.0.1]:7", nil},
		{"tcp", "127.0.0.1:7", []DialOption{LocalAddress(netip.MustParseAddrPort("[::1]:0"))}},
		{"tcp", "127.0.0.1:7", []DialOption{DialTimeout(-1)}},
		{"unix", "", nil},
		{"unix", long, nil},
		{"unix", "a\x00b", nil},
	} {
		c, err := s.Dial(s.home, call.network, call.address, hooks{}, call.options...)
		if c != nil || !errors.Is(err, ErrBadDial) {
			t.Errorf("%s %q: %v, %v", call.network, call.address, c, err)
		}
		if err := CheckDial(call.network, call.address); call.options == nil && !errors.Is(err, ErrBadDial) {
			t.Errorf("%s %q is checked with %v", call.network, call.address, err)
		}
	}
	if _, err := s.Dial(s.home, "tcp", "127.0.0.1:7", nil); !errors.Is(err, ErrBadDial) {
		t.Errorf("no handler: %v", err)
	}
	for _, ns := range []*Namespace{nil, other.home} {
		if _, err := s.Dial(ns, "tcp", "127.0.0.1:7", hooks{}); !errors.Is(err, ErrNotAttached) {
			t.Errorf("namespace %p: %v", ns, err)
		}
	}
	for network, address := range map[string]string{"tcp": "name:80", "tcp6": "[::1]:7", "unix": "@name"} {
		if err := CheckDial(network, address); err != nil {
			t.Errorf("%s %q is checked with %v", network, address, err)
		}
	}
	s.cutOff()
	if _, err := s.Dial(s.home, "tcp", "127.0.0.1:7", hooks{}); !errors.Is(err, ErrDraining) {
		t.Errorf("after Shutdown: %v", err)
	}
}

// Dialed connections count, and none is made above a limit.
func TestDialLimit(t *testing.T) {
	synchronous := make(chan error, 1)
	s := startServer(t, Config{MaxConnsPerNamespace: 2}, hooks{open: stay, data: func(c *Conn) {
		_, err := c.Dial("tcp", "127.0.0.1:1", hooks{})
		synchronous <- err
	}})
	p := plan(hooks{open: func(c *Conn) { _, _ = c.Write([]byte("x")) }})
	s.connect("tcp", loopback(s.ports[0]), s.refereed(p))
	await(t, p.opened, "OnOpen")
	if err := await(t, synchronous, "Dial"); !errors.Is(err, ErrMaxConns) {
		t.Errorf("Conn.Dial: %v", err)
	}
	q := plan(hooks{})
	s.connect("tcp", loopback(s.ports[0]), s.refereed(q))
	q.mustFail(t, ErrMaxConns)
	if st := s.stats(); st.Errors[ErrorDialLimit] != 2 || st.Conns != 2 {
		t.Errorf("%d counted, %d open", st.Errors[ErrorDialLimit], st.Conns)
	}
}

// A panic in a callback of a dialed connection costs that connection.
func TestDialPanics(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	p := plan(hooks{open: func(*Conn) { panic("opened") }})
	s.connect("tcp", loopback(s.ports[0]), s.refereed(p))
	if err := await(t, p.ended, "OnClose"); !errors.Is(err, ErrPanic) {
		t.Errorf("OnClose got %v", err)
	}
	for name, address := range map[string]string{"refused": loopback(refusingPort(t)), "timeout": loopback(deafPort(t))} {
		q := plan(hooks{})
		q.closed = func(_ *Conn, err error) { q.ended <- err; panic(name) }
		s.connect("tcp", address, s.refereed(q), DialTimeout(10*time.Millisecond))
		if err := await(t, q.ended, "OnClose"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	awaitUntil(t, "three panics are counted", func() bool { return s.loopStats().Panics == 3 })
	s.dial().roundTrip([]byte("alive"))
}

// Shutdown ends what is being dialed.
func TestDialEndsWithShutdown(t *testing.T) {
	s := startServer(t, Config{Loops: 2, Resolver: mute{}})
	port := deafPort(t)
	var plans []*dialPlan
	for i := range 40 {
		p := plan(hooks{})
		plans = append(plans, p)
		address := loopback(port)
		if i%2 == 0 {
			address = "never.example:80"
		}
		s.connect("tcp", address, s.refereed(p))
	}
	if err := s.Shutdown(soon(t)); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for _, p := range plans {
		p.mustFail(t, ErrDraining)
	}
}

// Very many at once, some of which come to nothing.
func TestDialMany(t *testing.T) {
	const dials = 1000
	s := startServer(t, Config{Loops: 2}, hooks{data: echo})
	refusing := refusingPort(t)
	before := len(openDescriptors(t))
	var good, bad atomic.Int64
	var all sync.WaitGroup
	h := s.refereed(hooks{
		open: func(c *Conn) { _, _ = c.Write([]byte("ping")) },
		data: func(c *Conn) {
			if b, _ := c.Peek(-1); string(b) == "ping" {
				c.Close()
			}
		},
		closed: func(_ *Conn, err error) {
			switch {
			case err == nil:
				good.Add(1)
			case errors.Is(err, unix.ECONNREFUSED):
				bad.Add(1)
			default:
				t.Error(err)
			}
			all.Done()
		},
	})
	for i := range dials {
		all.Add(1)
		port := s.ports[0]
		if i%10 == 0 {
			port = refusing
		}
		s.connect("tcp", loopback(port), h)
	}
	awaitAll(t, &all, "all dials")
	if good.Load() != dials*9/10 || bad.Load() != dials/10 {
		t.Errorf("%d good, %d bad", good.Load(), bad.Load())
	}
	awaitUntil(t, "nothing is left", func() bool { return s.loopStats().Conns == 0 && len(openDescriptors(t)) <= before })
	if d := s.stats().Dialed; d != dials*9/10 {
		t.Errorf("%d counted as dialed", d)
	}
}

// Sockets of the file system, and abstract ones.
func TestDialUnix(t *testing.T) {
	s := startServer(t, Config{})
	for _, path := range []string{filepath.Join(t.TempDir(), "socket"), "@nsreactor-dial-test-" + strconv.Itoa(unix.Getpid())} {
		listener, err := net.Listen("unix", path)
		unitMust(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(struct{ io.Writer }{conn}, conn) // without splice(2), whose pipes linger
			_ = conn.Close()
		}()
		var got []byte
		p := plan(hooks{
			open: func(c *Conn) { _, _ = c.Write([]byte("hello")); c.CloseWrite() },
			data: func(c *Conn) {
				b, _ := c.Next(c.Buffered())
				got = append(got, b...)
			},
		})
		s.connect("unix", path, s.refereed(p))
		if err := await(t, p.ended, "OnClose"); err != nil || string(got) != "hello" {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	p := plan(hooks{})
	s.connect("unix", filepath.Join(t.TempDir(), "nothing"), s.refereed(p))
	p.mustFail(t, unix.ENOENT)
}

// A unix socket whose listener has too many waiting is tried again.
func TestDialUnixBacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	unitMust(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	unitMust(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	unitMust(t, unix.Listen(fd, 0))
	s := startServer(t, Config{})
	first := plan(hooks{})
	s.connect("unix", path, s.refereed(first))
	await(t, first.opened, "OnOpen")
	waiting := plan(hooks{})
	s.connect("unix", path, s.refereed(waiting))
	late := plan(hooks{})
	s.connect("unix", path, s.refereed(late), DialTimeout(20*time.Millisecond))
	late.mustFail(t, ErrDialTimeout)
	conn, _, err := unix.Accept(fd)
	unitMust(t, err)
	t.Cleanup(func() { _ = unix.Close(conn) })
	await(t, waiting.opened, "OnOpen")
}

// A zone is the name of an interface, or its number.
func TestDialZone(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	for _, zone := range []string{"lo", "1"} {
		p := plan(hooks{open: func(c *Conn) { c.Close() }})
		s.connect("tcp", fmt.Sprintf("[::1%%%s]:%d", zone, s.ports[0]), s.refereed(p))
		if err := await(t, p.ended, "OnClose"); err != nil {
			t.Errorf("zone %s: %v", zone, err)
		}
	}
	for zone, want := range map[string]error{"nonesuch": unix.ENODEV, "much-too-long-for-an-interface": unix.EINVAL} {
		p := plan(hooks{})
		s.connect("tcp", fmt.Sprintf("[fe80::1%%%s]:7", zone), s.refereed(p))
		p.mustFail(t, want)
	}
}

// names is a Resolver with a table.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _ *nsctx.Namespace, _, host string) (addrs []netip.Addr, err error) {
	if len(n[host]) == 0 {
		return nil, errors.New("no such host")
	}
	for _, addr := range n[host] {
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	return addrs, nil
}

// mute is a Resolver that gets no answers.
type mute struct{}

func (mute) LookupNetIP(ctx context.Context, _ *nsctx.Namespace, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The first address that answers makes the connection, and the others are left
// alone.
func TestDialName(t *testing.T) {
	deaf, refusing := deafPort(t), refusingPort(t)
	table := names{
		"one":    {"127.0.0.1"},
		"two":    {"::1", "127.0.0.1"},
		"mapped": {"::ffff:127.0.0.1"},
		"six":    {"::1"},
	}
	s := startServer(t, Config{Resolver: table}, hooks{data: echo})
	for _, dial := range []struct {
		network, host string
		want          string
	}{
		{"tcp", "one", "127.0.0.1"},
		{"tcp", "two", "::1"},
		{"tcp4", "two", "127.0.0.1"},
		{"tcp6", "two", "::1"},
		{"tcp", "mapped", "127.0.0.1"},
	} {
		p := plan(hooks{open: func(c *Conn) { c.Close() }})
		s.connect(dial.network, fmt.Sprintf("%s:%d", dial.host, s.ports[0]), s.refereed(p))
		if err := await(t, p.ended, "OnClose"); err != nil {
			t.Errorf("%s %s: %v", dial.network, dial.host, err)
			continue
		}
		if c := <-p.opened; c.RemoteAddr().Addr().String() != dial.want {
			t.Errorf("%s %s: connected to %v", dial.network, dial.host, c.RemoteAddr())
		}
	}
	for _, dial := range []struct {
		network, host string
		port          int
		want          error
		kind          ErrorKind
	}{
		{"tcp", "nobody", 7, ErrResolve, ErrorResolve},
		{"tcp4", "six", 7, ErrResolve, ErrorResolve},
		{"tcp", "one", refusing, unix.ECONNREFUSED, ErrorDial},
		{"tcp", "two", refusing, unix.ECONNREFUSED, ErrorDial},
		{"tcp4", "two", deaf, ErrDialTimeout, ErrorDialTimeout},
	} {
		before := s.stats().Errors[dial.kind]
		limit := patience
		if dial.port == deaf {
			limit = 10 * time.Millisecond
		}
		p := plan(hooks{})
		s.connect(dial.network, fmt.Sprintf("%s:%d", dial.host, dial.port), s.refereed(p), DialTimeout(limit))
		p.mustFail(t, dial.want)
		if n := s.stats().Errors[dial.kind] - before; n != 1 {
			t.Errorf("%s %s: %d counted as %v", dial.network, dial.host, n, dial.kind)
		}
	}
}

// An address that does not answer keeps the next one waiting for a quarter of a
// second, not for ever; one that refuses not at all.
func TestDialHappyEyeballs(t *testing.T) {
	deaf := deafPort(t)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.7:%d", deaf))
	unitMust(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s := startServer(t, Config{Resolver: names{
		"deaf first":    {"127.0.0.1", "127.0.0.7"},
		"refused first": {"::1", "127.0.0.8", "127.0.0.7"},
	}})
	before := len(openDescriptors(t))
	for _, host := range []string{"deaf first", "refused first"} {
		p := plan(hooks{})
		c := newDialed(s.loops[0], s.home, &service{
			network: "tcp", handler: s.refereed(p), port: deaf, dial: dialSpec{host: host, timeout: patience},
		}, netip.AddrPort{})
		s.loops[0].load.Add(1)
		s.loops[0].post(task{kind: taskDial, conn: c})
		c = await(t, p.opened, "OnOpen")
		if c.RemoteAddr().Addr() != netip.MustParseAddr("127.0.0.7") {
			t.Errorf("%s: connected to %v", host, c.RemoteAddr())
		}
		c.CloseNow()
		if err := await(t, p.ended, "OnClose"); !errors.Is(err, ErrClosedNow) {
			t.Errorf("%s: OnClose got %v", host, err)
		}
		s.onLoop(0, func(*loop) {}) // descriptors are closed at the end of a turn
	}
	if now := len(openDescriptors(t)); now > before {
		t.Errorf("%d descriptors are open, %d were", now, before)
	}
}

// A name server that does not answer costs the dial its time, and a close ends
// the lookup.
func TestDialUnansweredLookup(t *testing.T) {
	s := startServer(t, Config{Resolver: mute{}})
	p := plan(hooks{})
	s.connect("tcp", "never.example:80", s.refereed(p), DialTimeout(10*time.Millisecond))
	p.mustFail(t, ErrDialTimeout)
	p = plan(hooks{})
	c := s.connect("tcp", "never.example:80", s.refereed(p))
	c.Close()
	p.mustFail(t, ErrClosed)
	awaitUntil(t, "no lookup is left", func() bool { return s.stats().Holds.Lookups == 0 })
}

// stubborn is a Resolver that answers when it likes.
type stubborn struct{ asked, answer chan struct{} }

func (r stubborn) LookupNetIP(context.Context, *nsctx.Namespace, string, string) ([]netip.Addr, error) {
	close(r.asked)
	<-r.answer
	return nil, errors.New("no such host")
}

// A namespace in which a name is looked up is not done with, though the dial is.
func TestDrainWaitsForLookup(t *testing.T) {
	r := stubborn{make(chan struct{}), make(chan struct{})}
	s := startServer(t, Config{Resolver: r})
	p := plan(hooks{})
	s.connect("tcp", "never.example:80", s.refereed(p))
	await(t, r.asked, "the lookup")
	detached := make(chan error, 1)
	go func() { detached <- s.Detach(soon(t), s.home) }()
	p.mustFail(t, ErrDraining)
	s.onLoop(0, func(*loop) {})
	s.onLoop(0, func(*loop) {
		if s.home.cells[0].drained {
			t.Error("drained during a lookup")
		}
	})
	if n := s.stats().Holds.Lookups; n != 1 {
		t.Errorf("%d lookups are shown", n)
	}
	close(r.answer)
	if err := await(t, detached, "Detach"); err != nil {
		t.Error(err)
	}
}

// counting is a Resolver that notes how many of its lookups run.
type counting struct {
	running, most atomic.Int64
	full          chan struct{}
	once          sync.Once
}

func (r *counting) LookupNetIP(ctx context.Context, _ *nsctx.Namespace, _, _ string) ([]netip.Addr, error) {
	n := r.running.Add(1)
	defer r.running.Add(-1)
	for {
		if most := r.most.Load(); n <= most || r.most.CompareAndSwap(most, n) {
			break
		}
	}
	if n >= maxLookupsPerNamespace {
		r.once.Do(func() { close(r.full) })
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A namespace has only so many lookups at a time; those that wait end with their
// dials.
func TestDialLookupsAreBounded(t *testing.T) {
	r := &counting{full: make(chan struct{})}
	s := startServer(t, Config{Resolver: r})
	var plans []*dialPlan
	var conns []*Conn
	for range 5 * maxLookupsPerNamespace {
		p := plan(hooks{})
		plans = append(plans, p)
		conns = append(conns, s.connect("tcp", "never.example:80", s.refereed(p)))
	}
	await(t, r.full, "as many lookups as may be")
	for _, c := range conns {
		c.CloseNow()
	}
	for _, p := range plans {
		p.mustFail(t, ErrClosedNow)
	}
	awaitUntil(t, "no lookup is left", func() bool { return s.stats().Holds.Lookups == 0 })
	if most := r.most.Load(); most != maxLookupsPerNamespace {
		t.Errorf("%d lookups ran at a time", most)
	}
}

func TestInterleave(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{"", ""},
		{"1", "1"},
		{"ab", "ab"},
		{"12ab", "a1b2"},
		{"123a", "a123"},
		{"1abc", "a1bc"},
	} {
		var addrs []netip.Addr
		for _, r := range c.given {
			if r < 'a' {
				addrs = append(addrs, netip.AddrFrom4([4]byte{3: byte(r)}))
			} else {
				addrs = append(addrs, netip.AddrFrom16([16]byte{1, 15: byte(r)}))
			}
		}
		var got []byte
		for _, addr := range interleave(addrs) {
			b := addr.AsSlice()
			got = append(got, b[len(b)-1])
		}
		if string(got) != c.want {
			t.Errorf("%q becomes %q, not %q", c.given, got, c.want)
		}
	}
}
