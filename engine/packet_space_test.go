package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// threadNamespace is where the calling thread is, by the kernel's word.
func threadNamespace(t testing.TB) nsctx.ID {
	ns, err := nsctx.ByPath("/proc/thread-self/ns/net").Open()
	if err != nil {
		t.Error(err)
		return nsctx.ID{}
	}
	defer ns.Close()
	return ns.ID()
}

// Two namespaces with the same addresses have each its own answer, given from within it.
func TestPacketsOfTwoNamespaces(t *testing.T) {
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: func(p *Packet) {
		if ns := p.Conn().Namespace(); threadNamespace(t) != ns.ID() {
			t.Errorf("a packet of %s is told elsewhere", ns.Name())
		}
		_ = p.Reply([]byte(p.Conn().Namespace().Name()))
	}})
	a, b := l.MustAdd(t, "a"), l.MustAdd(t, "b")
	l.attach(t, a)
	l.attach(t, b)
	for _, network := range []string{"udp4", "udp6"} {
		ca, cb := l.dial(t, a, network), l.dial(t, b, network)
		for range 3 {
			ca.expect("who", "a")
			cb.expect("who", "b")
		}
	}
}

// A handler that promises not to care is not switched for.
func TestPacketsAnyNamespace(t *testing.T) {
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: packetEcho}, AnyNamespace)
	a := l.MustAdd(t, "a")
	l.attach(t, a)
	before := l.Stats().Loops[0].Switches
	l.dial(t, a, "udp4").expect("hello", "hello")
	if n := l.Stats().Loops[0].Switches - before; n != 0 {
		t.Errorf("%d switches", n)
	}
}

// addAddress gives the tenant's link another address.
func addAddress(t testing.TB, ns *nsctx.Namespace, cidr string) {
	t.Helper()
	err := ns.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		return h.AddrAdd(link, addr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The reply comes from the address that was asked, not from the one that the
// kernel would choose: a connected client hears no other.
func TestPacketReplyComesFromAskedAddress(t *testing.T) {
	asked := make(chan PacketPath, 1)
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: func(p *Packet) { asked <- p.Path; packetEcho(p) }})
	a := l.MustAdd(t, "a")
	addAddress(t, a.NS, "10.77.0.3/24")
	addAddress(t, a.NS, "fd77::3/64")
	addAddress(t, a.NS, "fe80::77/64")
	addAddress(t, a.Peer, "fe80::78/64")
	l.attach(t, a)
	for _, host := range []string{"10.77.0.1", "10.77.0.3", "fd77::1", "fd77::3", "fe80::77%eth0"} {
		addr := netip.MustParseAddr(host)
		conn, err := nstest.DialIn(t.Context(), a.Peer, "udp", netip.AddrPortFrom(addr, labPort))
		newPacketClient(t, conn, err).expect("from "+host, "from "+host)
		if path := await(t, asked, "a path"); path.Local != addr.WithZone("") || path.Interface == 0 {
			t.Errorf("%s: the path is %+v", host, path)
		}
	}
}

// What was sent to many is answered from an address of the one that answers.
func TestPacketToManyIsAnsweredFromOne(t *testing.T) {
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: packetEcho})
	a := l.MustAdd(t, "a")
	addAddress(t, a.NS, "10.77.0.3/24")
	addAddress(t, a.NS, "fe80::77/64")
	addAddress(t, a.Peer, "fe80::78/64")
	l.attach(t, a)
	for to, from := range map[string]string{
		"10.77.0.255:53": "10.77.0.1", "[ff02::1%eth0]:53": "fe80::77",
	} {
		var conn net.PacketConn
		err := a.Peer.Do(func() (err error) {
			conn, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", ":0")
			if err != nil {
				return err
			}
			addr, err := net.ResolveUDPAddr("udp", to)
			if err == nil {
				_, err = conn.WriteTo([]byte("all"), addr)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c := newPacketClient(t, conn.(*net.UDPConn), nil)
		b := make([]byte, 10)
		n, who, err := c.Conn.(*net.UDPConn).ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != "all" || who.Addr().Unmap().WithZone("") != netip.MustParseAddr(from) {
			t.Errorf("%s: %q from %v, %v", to, b[:n], who, err)
		}
	}
}

// A port that is taken in one namespace is served in the others, and there as soon
// as it can be had.
func TestPacketPortTaken(t *testing.T) {
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: packetEcho})
	a, b := l.MustAdd(t, "a"), l.MustAdd(t, "b")
	var thief net.PacketConn
	err := a.NS.Do(func() (err error) {
		thief, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", ":53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Attach(nsctx.ByPath(a.Path)); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("err %v, want EADDRINUSE", err)
	}
	if err := l.Watch(l.Dir()); err != nil {
		t.Fatal(err)
	}
	l.dial(t, b, "udp4").expect("hello", "hello")
	l.log.await(t, "can't be served", "netns=a")
	_ = thief.Close()
	l.log.await(t, "served at last", "netns=a")
	l.dial(t, a, "udp4").expect("hello", "hello")
}

// A namespace that is deleted while packets arrive goes away all the same: its sockets are
// closed at once, each says so once, and nothing holds it.
func TestPacketNamespaceDeletedInFlight(t *testing.T) {
	var opened, closed atomic.Int32
	l := newPacketLab(t, Config{Loops: 2}, packetHooks{
		open: func(*PacketConn) { opened.Add(1) }, packet: packetEcho,
		closed: func(c *PacketConn, err error) {
			closed.Add(1)
			if e := c.Send(PacketPath{}, nil); err != nil || !errors.Is(e, ErrClosed) {
				t.Errorf("closed with %v, sending says %v", err, e)
			}
		},
	})
	a := l.MustAdd(t, "a")
	ns := l.attach(t, a)
	own, err := l.OpenPacket(ns, 0, packetHooks{closed: func(*PacketConn, error) { closed.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	c := l.dial(t, a, "udp4")
	c.expect("hello", "hello")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = c.Write([]byte("flood")) // refused in the end
			}
		}
	}()
	if err := a.Delete(); err != nil {
		t.Fatal(err)
	}
	awaitUntil(t, "the drain", func() bool { return ns.State() >= StateDraining })
	awaitUntil(t, "the sockets to be closed", func() bool { return closed.Load() == opened.Load()+1 })
	close(stop)
	await(t, stopped, "the flood's end")
	_ = c.Close()
	await(t, ns.Released(), "the release")
	if _, err := l.OpenPacket(ns, 0, packetHooks{}); !errors.Is(err, ErrDraining) {
		t.Errorf("err %v, want ErrDraining", err)
	}
	if !own.Call(func(c *PacketConn) {
		if l.thread(c.Loop()) != nil {
			t.Error("a call of a closed socket is made inside a namespace")
		}
	}) {
		t.Error("Call refused")
	}
}

func (l *packetLab) thread(i int) *Namespace { return l.loops[i].at }

// A loop that can't enter a namespace tells no packet of it.
func TestPacketsFailClosed(t *testing.T) {
	var told atomic.Int32
	l := newPacketLab(t, Config{Loops: 1}, packetHooks{packet: func(*Packet) { told.Add(1) }})
	a := l.MustAdd(t, "a")
	ns := l.attach(t, a)
	l.dial(t, a, "udp4").send("1")
	awaitUntil(t, "a packet", func() bool { return told.Load() == 1 })
	done := make(chan struct{})
	l.loops[0].post(task{kind: taskLoop, run: func(lp *loop) { defer close(done); lp.goHome(); _ = ns.BreakHandle() }})
	await(t, done, "the loop")
	l.dial(t, a, "udp4").send("2")
	awaitUntil(t, "a failed switch", func() bool { return ns.Snapshot().Errors[ErrorSwitch] > 0 })
	if told.Load() != 1 {
		t.Error("a packet was told outside its namespace")
	}
	if _, err := l.OpenPacket(ns, 0, packetHooks{}); !errors.Is(err, ErrSwitch) {
		t.Errorf("err %v, want ErrSwitch", err)
	}
}

// forwarder asks an upstream in home for what tenants want to know, as a DNS forwarder
// does, and answers when the upstream has.
type forwarder struct {
	BasePacketHandler
	t        testing.TB
	home     *Namespace
	upstream netip.AddrPort
}

func (f *forwarder) OnOpen(c *PacketConn) {
	here := threadNamespace(f.t)
	up, err := c.OpenPacket(f.home, 0, &forwarderUp{down: c})
	if err != nil {
		f.t.Error(err)
	}
	if threadNamespace(f.t) != here {
		f.t.Error("OpenPacket has left the thread elsewhere")
	}
	c.SetContext(up)
}

func (f *forwarder) OnPacket(p *Packet) {
	up := p.Conn().Context().(*PacketConn)
	up.SetContext(p.Path)
	_ = up.Send(PacketPath{Remote: f.upstream}, p.Data)
}

func (f *forwarder) OnClose(c *PacketConn, _ error) { c.Context().(*PacketConn).Close() }

type forwarderUp struct {
	BasePacketHandler
	down *PacketConn
}

func (u *forwarderUp) OnPacket(p *Packet) {
	_ = u.down.Send(p.Conn().Context().(PacketPath), p.Data)
}

func TestPacketForwarder(t *testing.T) {
	f := &forwarder{t: t}
	l := newPacketLab(t, Config{Loops: 2}, f)
	var err error
	if f.home, err = l.Home(); err != nil {
		t.Fatal(err)
	}
	up, err := l.OpenPacket(f.home, 0, packetHooks{packet: func(p *Packet) { _ = p.Reply(append(p.Data, '!')) }})
	if err != nil {
		t.Fatal(err)
	}
	f.upstream = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(up.Port()))
	a, b := l.MustAdd(t, "a"), l.MustAdd(t, "b")
	l.attach(t, a)
	l.attach(t, b)
	for _, tenant := range []*nstest.Tenant{a, b, a} {
		l.dial(t, tenant, "udp4").expect("name", "name!")
	}
}
