package engine

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// tcpConn is embedded without being a field that others see.
type tcpConn = net.TCPConn

// NetConn is a [net.Conn] of a namespace that the engine has accepted: a connection
// of [Engine.Listener], or one after [Conn.Detach]. It is a [*net.TCPConn] in all
// it can do (deadlines, CloseRead and CloseWrite, SyscallConn, sendfile(2) by
// ReadFrom, splice(2) by WriteTo), and as there any goroutine may call its methods.
//
// Until it is closed it counts among its namespace's connections and keeps it alive.
// A drain tells it by [Namespace.Draining]; what is still open at the drain's end is
// reset, and its methods then answer [ErrDrained]. Of Config it keeps KeepAlive and
// UserTimeout; the idle timeout and the buffers' limits are a loop's.
type NetConn struct {
	*tcpConn // nil before open
	loop     *loop
	cell     *cell
	peer     netip.AddrPort
	local    NetAddr
	early    *early // what a detached connection has brought along

	next, prev *NetConn // of the cell's guests, whose lock guards these three
	condemned  bool     // to be reset, see guests.condemn

	mu    sync.Mutex // guards what is below
	file  *os.File   // the socket, before open; blocking, so that it stays out of Go's poller
	stage guestStage
	cause error // why the engine has ended it
}

type guestStage uint8

const (
	guestWaiting guestStage = iota // for open
	guestOpening
	guestOpen
	guestGone
)

// newGuest takes over a socket.
func (l *loop) newGuest(cell *cell, a accepted) *NetConn {
	c := &NetConn{loop: l, cell: cell, peer: a.peer, file: socketFile(a.fd)}
	cell.guests.add(c)
	return c
}

// open makes the socket a net.TCPConn. After an error it may be called again, unless
// the connection is gone.
func (c *NetConn) open() error {
	c.mu.Lock()
	if c.stage != guestWaiting {
		defer c.mu.Unlock()
		return c.cause
	}
	c.stage = guestOpening
	c.mu.Unlock()
	conn, err := netConn(c.file, c.loop.eng.cfg.KeepAlive)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == guestGone { // expelled meanwhile
		if err == nil {
			_ = conn.SetLinger(0)
			_ = conn.Close()
		}
		c.discard()
		return c.cause
	}
	if err != nil {
		c.stage = guestWaiting
		return err
	}
	_ = c.file.Close() // conn has a descriptor of its own
	c.file, c.tcpConn, c.stage = nil, conn, guestOpen
	c.local = NetAddr{TCPAddr: conn.LocalAddr().(*net.TCPAddr), namespace: c.Namespace()}
	return nil
}

// abandon undoes newGuest, and leaves the connection in peace.
func (c *NetConn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == guestWaiting {
		c.stage = guestGone
		_ = c.file.Close() // one of several descriptors
		c.file = nil
		c.leave()
	}
}

// discard resets a socket that was never opened.
func (c *NetConn) discard() {
	resetFile(c.file)
	c.file = nil
	c.leave()
}

// expel ends the connection with a reset, for a reason that its methods answer with
// from then on. It reports whether the connection was still there.
func (c *NetConn) expel(cause error) bool {
	c.mu.Lock()
	stage := c.stage
	if stage == guestGone {
		c.mu.Unlock()
		return false
	}
	c.stage, c.cause = guestGone, cause
	if stage == guestWaiting {
		c.discard()
	}
	c.mu.Unlock()
	if stage == guestOpen {
		_ = c.SetLinger(0)
		_ = c.tcpConn.Close()
		c.leave()
	}
	return true
}

// leave is the end of the engine's part. A loop that waits for it is told.
func (c *NetConn) leave() {
	if c.cell.guests.remove(c) {
		c.loop.post(task{kind: taskLoop, run: func(*loop) {}}) // its turn ends with endDrains
	}
}

// count counts an error where errors are counted: on the loop.
func (c *NetConn) count(kind ErrorKind) {
	c.loop.post(task{kind: taskLoop, run: func(*loop) { c.cell.errors[kind].inc() }})
}

// Namespace is the namespace that the connection is in.
func (c *NetConn) Namespace() *Namespace { return c.cell.ns }

// LocalAddr is the connection's own address, a [*NetAddr].
func (c *NetConn) LocalAddr() net.Addr { return &c.local }

// RemoteAddr is the peer's address, a [*net.TCPAddr].
func (c *NetConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer) }

// Read is that of net.TCPConn. After Detach it begins with what the handler had not
// consumed.
func (c *NetConn) Read(p []byte) (int, error) {
	if n := c.early.read(p); n > 0 {
		return n, nil
	}
	n, err := c.tcpConn.Read(p)
	c.cell.guests.in.Add(uint64(n))
	return n, c.explain("read", err)
}

// Write is that of net.TCPConn. After Detach it is preceded by what was not sent.
func (c *NetConn) Write(p []byte) (int, error) {
	if err := c.sendEarly(); err != nil {
		return 0, err
	}
	n, err := c.tcpConn.Write(p)
	c.cell.guests.out.Add(uint64(n))
	return n, c.explain("write", err)
}

// ReadFrom is that of net.TCPConn: sendfile(2) or splice(2) where the source allows.
func (c *NetConn) ReadFrom(r io.Reader) (int64, error) {
	if err := c.sendEarly(); err != nil {
		return 0, err
	}
	n, err := c.tcpConn.ReadFrom(r)
	c.cell.guests.out.Add(uint64(n))
	return n, c.explain("write", err)
}

// WriteTo is that of net.TCPConn: splice(2) where the destination allows.
func (c *NetConn) WriteTo(w io.Writer) (int64, error) {
	early, err := c.early.writeTo(w)
	if err != nil {
		return early, err
	}
	n, err := c.tcpConn.WriteTo(w)
	c.cell.guests.in.Add(uint64(n))
	return early + n, c.explain("read", err)
}

// CloseWrite shuts down the write half: the peer reads an end of file.
func (c *NetConn) CloseWrite() error {
	if err := c.sendEarly(); err != nil {
		return err
	}
	return c.explain("close", c.tcpConn.CloseWrite())
}

// Close is that of net.TCPConn. After Detach it first gives what was not sent
// Config.LingerTimeout to go out, and is a reset if that is too short.
func (c *NetConn) Close() error {
	if c.early != nil {
		_ = c.SetWriteDeadline(time.Now().Add(c.loop.eng.cfg.LingerTimeout))
		if c.sendEarly() != nil {
			_ = c.SetLinger(0) // an orderly end would tell the peer that it has everything
		}
	}
	c.mu.Lock()
	first := c.stage == guestOpen
	c.stage = guestGone
	c.mu.Unlock()
	if first && c.cell.guests.isDraining() {
		boundOrphan(c.tcpConn)
	}
	err := c.tcpConn.Close()
	if first {
		c.leave()
	}
	return c.explain("close", err)
}

// explain puts the engine's reason in the place of an error that only says that the
// connection is closed.
func (c *NetConn) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return err
}

// error puts a cause into the connection's terms.
func (c *NetConn) error(op string, cause error) error {
	return &Error{Op: op, Namespace: c.Namespace().Name(), Addr: c.peer, Err: cause}
}

// NetAddr is the local address of a [NetConn]. It knows its namespace, for where
// others pass on an address and no connection: net/http's LocalAddrContextKey,
// gRPC's stats.ConnTagInfo.
type NetAddr struct {
	*net.TCPAddr
	namespace *Namespace
}

// Namespace is where the address is.
func (a *NetAddr) Namespace() *Namespace { return a.namespace }
