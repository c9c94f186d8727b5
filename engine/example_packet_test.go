package engine_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// forward passes questions of tenants on to a server that home reaches, and its answers
// back, told apart by their first byte.
type forward struct {
	engine.BasePacketHandler
	home   *engine.Namespace
	server netip.AddrPort
}

// OnOpen makes a socket in home for each of a port's, on the same loop.
func (f *forward) OnOpen(c *engine.PacketConn) {
	up, err := c.OpenPacket(f.home, 0, &answers{down: c, asked: make(map[byte]engine.PacketPath)})
	if err != nil {
		log.Print(err)
		c.Close()
		return
	}
	c.SetContext(up)
}

func (f *forward) OnPacket(p *engine.Packet) {
	up, ok := p.Conn().Context().(*engine.PacketConn)
	if !ok || len(p.Data) == 0 {
		return
	}
	up.Context().(*answers).asked[p.Data[0]] = p.Path // a path is a value, and may be kept
	_ = up.Send(engine.PacketPath{Remote: f.server}, p.Data)
}

func (f *forward) OnClose(c *engine.PacketConn, _ error) {
	if up, ok := c.Context().(*engine.PacketConn); ok {
		up.Close()
	}
}

type answers struct {
	engine.BasePacketHandler
	down  *engine.PacketConn
	asked map[byte]engine.PacketPath
}

func (a *answers) OnOpen(c *engine.PacketConn) { c.SetContext(a) }

func (a *answers) OnPacket(p *engine.Packet) {
	if len(p.Data) == 0 {
		return
	}
	if path, ok := a.asked[p.Data[0]]; ok {
		delete(a.asked, p.Data[0])
		_ = a.down.Send(path, p.Data)
	}
}

// A forwarder of datagrams, with one tenant, the process's own namespace.
func ExampleEngine_HandlePackets() {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 100)
		if n, from, err := server.ReadFrom(b); err == nil {
			_, _ = server.WriteTo(append(b[:n], " is known"...), from)
		}
	}()

	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	home, err := eng.Home()
	if err != nil {
		log.Fatal(err)
	}
	h := &forward{home: home, server: server.LocalAddr().(*net.UDPAddr).AddrPort()}
	if err := eng.HandlePackets("udp", 0, h); err != nil {
		log.Fatal(err)
	}
	tenant, err := eng.Attach(nsctx.Home())
	if err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", tenant.Port("udp", 0)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "example.org")
	b := make([]byte, 100)
	n, err := conn.Read(b)
	fmt.Printf("%s, %v", b[:n], err)
	// Output: example.org is known, <nil>
}

// greeter tells whoever connects that it knows him.
type greeter struct{ engine.BaseHandler }

func (greeter) OnOpen(c *engine.Conn) {
	peer, err := c.PeerCredentials()
	fmt.Fprintf(c, "%s %t %v", c.Network(), peer.PID == os.Getpid(), err)
	c.Close()
}

// A unix socket that only its owner may connect to.
func ExampleEngine_HandleUnix() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	eng, err := engine.New(engine.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = eng.Shutdown(context.Background()) }()
	path := filepath.Join(dir, "control")
	if err := eng.HandleUnix(path, greeter{}, engine.SocketMode(0o600)); err != nil {
		log.Fatal(err)
	}

	conn, err := net.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 100)
	n, err := conn.Read(b)
	fmt.Printf("%s, %v", b[:n], err)
	// Output: unix true <nil>, <nil>
}
