package engine

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/poller"
)

// PacketConn is a UDP socket. It lives on one loop, and its methods belong to that
// loop's callbacks, be they of this socket or of another or of a [Conn], but for
// those that say that any goroutine may call them.
//
// With several loops and AcceptSteered a port has a socket for each loop, and a
// datagram goes to that of the CPU that it came in on. A peer's datagrams
// so mostly meet the same one, but are not certain to.
type PacketConn struct {
	source
	loop     *loop
	handler  PacketHandler
	fd       int // -1 once closed
	token    poller.Token
	port     int  // that is bound
	v4       bool // the namespace has no IPv6
	unjoined bool // the kernel refuses joined datagrams
	closed   bool
	closing  atomic.Bool     // Close was called
	interest poller.Interest // what the poller was told; 0 is that it does not know the socket
	index    int             // in its cell's list
	missed   uint32          // the kernel's count of what the receive queue had no room for

	context      any
	timer        timer // SetTimer's
	retry        timer // of polling
	backlog      []queuedPacket
	backlogBytes int
}

// queuedPacket waits for room in the socket's send buffer.
type queuedPacket struct {
	path PacketPath
	data []byte
}

// size is what a queued packet counts for; one without data takes memory too.
func (q *queuedPacket) size() int { return len(q.data) + 128 }

// Namespace is the namespace that the socket is in. Any goroutine may call it.
func (c *PacketConn) Namespace() *Namespace { return c.ep.cell.ns }

// Port is the port that the socket is bound to. Any goroutine may call it.
func (c *PacketConn) Port() int { return c.port }

// Loop is the index of the socket's loop. Any goroutine may call it.
func (c *PacketConn) Loop() int { return c.loop.index }

// SetContext keeps something of the handler's with the socket.
func (c *PacketConn) SetContext(v any) { c.context = v }

// Context is what SetContext kept. It is still there in OnClose.
func (c *PacketConn) Context() any { return c.context }

// Enter is [Conn.Enter] for a handler of packets.
func (c *PacketConn) Enter() error {
	if err := c.loop.enterNamespace(c.ep.cell.ns); err != nil {
		c.ep.cell.errors[ErrorSwitch].inc()
		return c.error("enter", netip.AddrPort{}, err)
	}
	return nil
}

// Control calls f with the socket's descriptor, for socket options that the engine
// has no word for: SO_RCVBUF of socket(7), IP_ADD_MEMBERSHIP of ip(7). f must
// neither read, write nor close it, and not keep it. On a closed socket f is not
// called; the error is [ErrClosed].
func (c *PacketConn) Control(f func(fd int)) error {
	if c.closed {
		return c.error("control", netip.AddrPort{}, ErrClosed)
	}
	f(c.fd)
	return nil
}

// Send sends a datagram, which may be empty, together with others when the callbacks of
// this turn's packets have returned. b is the caller's again when Send returns. If the kernel
// has no room for it, it waits in a queue of at most Config.PacketBacklog bytes.
//
// The error is [ErrClosed], [ErrOverflow] if that queue is full, [ErrBadPath] if the path can't
// be one of this socket, or EMSGSIZE if no datagram is that long. What the
// kernel refuses only later is counted: NamespaceStats.Packets.Dropped, and
// [ErrorWrite]. Nobody says that a datagram has arrived.
func (c *PacketConn) Send(path PacketPath, b []byte) error {
	if c.closed || c.closing.Load() {
		return c.error("send", path.Remote, ErrClosed)
	}
	return c.loop.sendPacket(c, &path, b)
}

// AsyncSend is Send from any goroutine. b belongs to the engine until done is
// called, which happens once and always: on the socket's loop, as by Call, with
// what Send would return, or, when there is no loop any more, at once with
// [ErrStopped]. done may be nil.
func (c *PacketConn) AsyncSend(path PacketPath, b []byte, done func(error)) {
	posted := c.post(func(l *loop) {
		err := c.Send(path, b)
		if done != nil {
			l.callPacketConn(c, func() { done(err) })
		}
	})
	if !posted && done != nil {
		done(ErrStopped)
	}
}

// Call runs f on the socket's loop, in its namespace as a callback would be. Any
// goroutine may call it. It reports whether f will run: not if the engine has
// stopped. If the socket closes first, f still runs, with the thread at home,
// and finds it closed.
func (c *PacketConn) Call(f func(*PacketConn)) bool {
	return c.post(func(l *loop) { l.callPacketConn(c, func() { f(c) }) })
}

// SetTimer calls OnTimer once, in d; a later SetTimer replaces it, and 0 or less
// takes it away. It is kept to the millisecond, and never early.
func (c *PacketConn) SetTimer(d time.Duration) {
	l := c.loop
	if d <= 0 || c.closed {
		l.timers.remove(&c.timer)
		return
	}
	l.timers.set(&c.timer, later(l.eng.clock(), int64(d)))
}

// Close closes the socket after what was sent before; no more OnPacket. Datagrams
// that still wait for room are dropped. Any goroutine may call it, any number of times.
func (c *PacketConn) Close() {
	if c.closing.CompareAndSwap(false, true) {
		c.post(func(l *loop) { l.closePackets(c, nil) })
	}
}

func (c *PacketConn) post(run func(*loop)) bool {
	return c.loop.post(task{kind: taskLoop, run: run})
}

// error puts a cause into the socket's terms.
func (c *PacketConn) error(op string, remote netip.AddrPort, cause error) error {
	return &Error{Op: op, Namespace: c.ep.cell.ns.Name(), Addr: remote, Err: cause}
}
