package engine

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// packetHooks is a PacketHandler made of functions.
type packetHooks struct {
	open, timer func(*PacketConn)
	packet      func(*Packet)
	closed      func(*PacketConn, error)
}

func (h packetHooks) OnOpen(c *PacketConn) {
	if h.open != nil {
		h.open(c)
	}
}

func (h packetHooks) OnPacket(p *Packet) {
	if h.packet != nil {
		h.packet(p)
	}
}

func (h packetHooks) OnTimer(c *PacketConn) {
	if h.timer != nil {
		h.timer(c)
	}
}

func (h packetHooks) OnClose(c *PacketConn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

// packetEcho is a packet hook.
func packetEcho(p *Packet) { _ = p.Reply(p.Data) }

// startPackets is startBare with one handler of packets. Its port is s.ports[0].
func startPackets(t testing.TB, cfg Config, h PacketHandler, options ...HandleOption) *testServer {
	t.Helper()
	s := startBare(t, cfg)
	if err := s.HandlePackets("udp", 0, h, options...); err != nil {
		t.Fatal(err)
	}
	for _, l := range s.stats().Listeners {
		s.ports = append(s.ports, l.Port)
	}
	for i := range s.loops {
		s.onLoop(i, func(*loop) {})
	}
	return s
}

// packetLab is an engine with a handler of packets, and namespaces to attach.
type packetLab struct {
	*Engine
	*nstest.Lab
	log *logbook
}

const labPort = 53

func newPacketLab(t testing.TB, cfg Config, h PacketHandler, options ...HandleOption) *packetLab {
	t.Helper()
	l := &packetLab{Lab: nstest.New(t), log: &logbook{more: make(chan struct{})}}
	cfg.CheckThread = true
	cfg.Logger = slog.New(l.log)
	eng, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Engine = eng
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := eng.HandlePackets("udp", labPort, h, options...); err != nil {
		t.Fatal(err)
	}
	return l
}

// attach attaches a tenant.
func (l *packetLab) attach(t testing.TB, tenant *nstest.Tenant) *Namespace {
	t.Helper()
	ns, err := l.Attach(nsctx.ByPath(tenant.Path))
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// packetClient is a connected UDP socket with a hang guard.
type packetClient struct {
	net.Conn
	t testing.TB
}

func newPacketClient(t testing.TB, conn net.Conn, err error) *packetClient {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &packetClient{conn, t}
}

// dialPackets connects to the first port over IPv4, or over IPv6 for "udp6".
func (s *testServer) dialPackets(network string) *packetClient {
	s.t.Helper()
	host := netip.MustParseAddr("127.0.0.1")
	if network == "udp6" {
		host = netip.IPv6Loopback()
	}
	conn, err := net.Dial(network, netip.AddrPortFrom(host, uint16(s.ports[0])).String())
	return newPacketClient(s.t, conn, err)
}

func (l *packetLab) dial(t testing.TB, tenant *nstest.Tenant, network string) *packetClient {
	t.Helper()
	conn, err := tenant.Dial(t.Context(), network, labPort)
	return newPacketClient(t, conn, err)
}

func (c *packetClient) send(b string) {
	c.t.Helper()
	if _, err := c.Write([]byte(b)); err != nil {
		c.t.Fatal("send:", err)
	}
}

func (c *packetClient) recv() string {
	c.t.Helper()
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		c.t.Fatal("recv:", err)
	}
	return string(b[:n])
}

func (c *packetClient) ask(b string) string {
	c.t.Helper()
	c.send(b)
	return c.recv()
}

func (c *packetClient) expect(b, want string) {
	c.t.Helper()
	if got := c.ask(b); got != want {
		c.t.Errorf("%q is answered by %q, not %q", cut([]byte(b)), cut([]byte(got)), cut([]byte(want)))
	}
}

// onPackets runs f on a packet socket's loop, and returns when f has. f must not end the test.
func onPackets(t testing.TB, c *PacketConn, f func(*PacketConn)) {
	t.Helper()
	done := make(chan struct{})
	if !c.Call(func(c *PacketConn) { defer close(done); f(c) }) {
		t.Fatal("Call after the engine has stopped")
	}
	await(t, done, "a Call")
}
