package engine

import "net/netip"

// PacketHandler is what a protocol author writes for datagrams. What is said of
// [Handler] holds for it too: the callbacks run on the loop of the socket that
// they are given, by default with the thread in the socket's namespace; they must
// not block, nor keep bytes that they were given. One handler serves many sockets
// and loops: what belongs to a socket goes into [PacketConn.SetContext]. A callback
// that panics costs the packet that it was given, nothing else.
//
// Embed [BasePacketHandler] and write only the callbacks that matter.
type PacketHandler interface {
	// OnOpen is the first callback of every socket.
	OnOpen(c *PacketConn)
	// OnPacket is called for every datagram. The packet and its data are valid until
	// it returns; a copy of its Path is a value that may be kept to reply later.
	OnPacket(p *Packet)
	// OnTimer answers PacketConn.SetTimer.
	OnTimer(c *PacketConn)
	// OnClose is the last callback of every socket, called once, when nothing can
	// be sent any more. The error says what went wrong; nil is a Close, or that the
	// namespace or the engine is going away.
	OnClose(c *PacketConn, err error)
}

// BasePacketHandler answers every callback with nothing.
type BasePacketHandler struct{}

// OnOpen does nothing.
func (BasePacketHandler) OnOpen(*PacketConn) {}

// OnPacket throws the packet away.
func (BasePacketHandler) OnPacket(*Packet) {}

// OnTimer does nothing.
func (BasePacketHandler) OnTimer(*PacketConn) {}

// OnClose does nothing.
func (BasePacketHandler) OnClose(*PacketConn, error) {}

// Packet is a datagram that has arrived. It is valid until OnPacket returns.
type Packet struct {
	// Data is what the datagram holds, which may be nothing. The handler may
	// change it.
	Data []byte
	// Path says who sent it, and to which address.
	Path PacketPath
	// Truncated says that the datagram was longer than Config.PacketMax, and that
	// the rest of it is lost.
	Truncated bool

	conn *PacketConn
}

// PacketPath is the way that a datagram has come, or is to go: it is both what a
// handler is told and what it sends a reply by. It is a value: a copy is valid for
// as long as its namespace is.
type PacketPath struct {
	// Remote is the other end. IPv4 is IPv4 also where the socket is IPv6. The
	// zone of a link-local address is the interface's index; in one that is to go, it may be a name.
	Remote netip.AddrPort
	// Local is the address that the datagram was sent to, or, where that was a
	// broadcast or an IPv4 multicast, the one to answer it from. In one that is to go
	// it is the source; if invalid, or an IPv6 multicast, the kernel chooses that.
	Local netip.Addr
	// Interface is the index of the interface that the datagram came in by, 0 if that is
	// not known. Sending regards it only where the remote address means nothing
	// without it: link-local and multicast.
	Interface int
}

// Conn is the socket that the packet arrived on. It may be kept.
func (p *Packet) Conn() *PacketConn { return p.conn }

// Reply sends to where the packet came from, from the address that it was sent
// to. See [PacketConn.Send].
func (p *Packet) Reply(b []byte) error { return p.conn.Send(p.Path, b) }
