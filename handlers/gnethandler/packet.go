package gnethandler

import (
	"bytes"
	"io"
	"net"
	"net/netip"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
)

// Packets is the handler for the datagrams of a port:
//
//	err = eng.HandlePackets("udp", 7000, h.Packets())
//
// As on gnet, there is one OnTraffic for each, with a Conn of its own that has the
// datagram in its inbound buffer, and nothing else is called: no OnOpen, no OnClose.
func (h *Handler) Packets() engine.PacketHandler { return packets{h: h} }

// packets is a Handler as an engine.PacketHandler.
type packets struct {
	engine.BasePacketHandler
	h *Handler
}

// OnOpen keeps the descriptor with the socket.
func (packets) OnOpen(pc *engine.PacketConn) {
	s := &socket{noKeepAlive: true}
	s.borrow(pc.Control)
	pc.SetContext(s)
}

// OnPacket is gnet's OnTraffic. The Conn is made anew for each, since a handler
// may keep it to answer later.
func (p packets) OnPacket(arrived *engine.Packet) {
	pc := arrived.Conn()
	c := &packet{socket: pc.Context().(*socket), pc: pc, h: p.h, path: arrived.Path, data: arrived.Data}
	action := p.h.events.OnTraffic(c)
	c.data, c.ctx = nil, nil // the bytes are the engine's again
	if action == gnet.Shutdown {
		p.h.shutdown()
	}
}

// OnClose comes before the engine closes the descriptor.
func (packets) OnClose(pc *engine.PacketConn, _ error) {
	if s, ok := pc.Context().(*socket); ok {
		s.giveBack()
	}
}

// packet is a datagram as a gnet.Conn: what is read is the datagram, what is
// written goes to where it came from, from the address that it was sent to.
type packet struct {
	noDeadlines
	*socket

	pc   *engine.PacketConn
	h    *Handler
	path engine.PacketPath
	data []byte // what is left to read
	ctx  any
}

var _ gnet.Conn = (*packet)(nil)

// Peek returns the next n bytes, or all if n is 0 or less, without consuming
// them.
func (c *packet) Peek(n int) ([]byte, error) {
	switch {
	case n > len(c.data):
		return nil, io.ErrShortBuffer
	case n <= 0:
		return c.data, nil
	}
	return c.data[:n:n], nil
}

// Next is Peek, and consumes what it returns.
func (c *packet) Next(n int) ([]byte, error) {
	b, err := c.Peek(n)
	c.data = c.data[len(b):]
	return b, err
}

// Discard consumes up to n bytes, or all if n is 0 or less.
func (c *packet) Discard(n int) (int, error) {
	if n <= 0 {
		n = len(c.data)
	}
	n = min(n, len(c.data))
	c.data = c.data[n:]
	return n, nil
}

// Read copies and consumes. Where there is nothing, it returns
// [io.ErrShortBuffer].
func (c *packet) Read(p []byte) (int, error) {
	n := copy(p, c.data)
	if n == 0 && len(p) > 0 {
		return 0, io.ErrShortBuffer
	}
	return c.Discard(n)
}

// WriteTo consumes what w takes.
func (c *packet) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.data)
	c.data = c.data[n:]
	return int64(n), err
}

// InboundBuffered is the number of bytes that are left to read.
func (c *packet) InboundBuffered() int { return len(c.data) }

// Write sends a datagram to where this one came from. It goes out together with
// others when the callbacks of this turn's datagrams have returned; what the
// kernel refuses then is counted by the engine.
func (c *packet) Write(p []byte) (int, error) { return c.send(c.path, p) }

// SendTo is Write to another address, a *net.UDPAddr.
func (c *packet) SendTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || to == nil {
		return 0, gneterrors.ErrInvalidNetworkAddress
	}
	return c.send(engine.PacketPath{Remote: to.AddrPort()}, p)
}

func (c *packet) send(path engine.PacketPath, p []byte) (int, error) {
	if err := c.pc.Send(path, p); err != nil {
		return 0, late(err)
	}
	return len(p), nil
}

// Writev fails, as it does on gnet.
func (*packet) Writev([][]byte) (int, error) { return 0, gneterrors.ErrUnsupportedOp }

// ReadFrom sends what r gives until its end as one datagram. On gnet it goes
// nowhere.
func (c *packet) ReadFrom(r io.Reader) (int64, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	n, err := c.Write(b)
	return int64(n), err
}

// Flush does nothing: there is no buffer.
func (*packet) Flush() error { return nil }

// OutboundBuffered is 0: there is no buffer.
func (*packet) OutboundBuffered() int { return 0 }

// AsyncWrite is Write from any goroutine, also when OnTraffic has returned. As on
// gnet, buf is the caller's again and the callback has been called, without a
// Conn, when it returns.
func (c *packet) AsyncWrite(buf []byte, callback gnet.AsyncCallback) error {
	c.pc.AsyncSend(c.path, bytes.Clone(buf), nil)
	if callback != nil {
		_ = callback(nil, nil)
	}
	return nil
}

// AsyncWritev fails, as it does on gnet.
func (*packet) AsyncWritev([][]byte, gnet.AsyncCallback) error { return gneterrors.ErrUnsupportedOp }

// Wake calls back and does nothing else, as on gnet.
func (c *packet) Wake(callback gnet.AsyncCallback) error { return c.CloseWithCallback(callback) }

// Close does nothing, as on gnet: the socket is everybody's.
func (*packet) Close() error { return nil }

// CloseWithCallback calls back from the loop and does nothing else, as on gnet.
func (c *packet) CloseWithCallback(callback gnet.AsyncCallback) error {
	return c.call(func() {
		if callback != nil {
			_ = callback(c, nil)
		}
	})
}

// call has f run on the socket's loop.
func (c *packet) call(f func()) error {
	if !c.pc.Call(func(*engine.PacketConn) { f() }) {
		return gneterrors.ErrEngineInShutdown
	}
	return nil
}

// Context is what SetContext kept until OnTraffic returned.
func (c *packet) Context() any { return c.ctx }

// SetContext keeps something of the handler's with the datagram.
func (c *packet) SetContext(ctx any) { c.ctx = ctx }

// LocalAddr is the address that the datagram was sent to, where gnet has the
// listener's.
func (c *packet) LocalAddr() net.Addr {
	local := c.path.Local
	if !local.IsValid() {
		local = netip.IPv6Unspecified()
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, uint16(c.pc.Port())))
}

// RemoteAddr is the sender's address.
func (c *packet) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.path.Remote) }

// EventLoop is the socket's loop.
func (c *packet) EventLoop() gnet.EventLoop { return (*packetLoop)(c) }

func (c *packet) namespace() *engine.Namespace { return c.pc.Namespace() }

func (c *packet) enter() error { return c.pc.Enter() }
