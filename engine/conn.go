package engine

import (
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/poller"
)

// Conn is a connection. It lives on one loop, and its methods belong to that
// loop's callbacks, but for those that say that any goroutine may call them.
// It is never used again for another connection: a Conn that is kept after
// OnClose answers [ErrClosed].
type Conn struct {
	// What every message touches comes first and fills one cache line: with
	// thousands of connections each further line is a miss a message.
	loop  *loop
	ep    *endpoint
	token poller.Token
	fd    int // -1 once closed

	asked      atomic.Uint32 // bits that other goroutines may set: askedClose, askedWake
	stage      stage
	interest   poller.Interest // what the poller was told
	registered bool            // the poller knows the descriptor
	pause      pauseReason
	eof        bool // the peer has sent its last
	blocked    bool // the last write was cut short: wait for writability
	finWanted  bool // shut down the write half when the output is out
	finSent    bool
	dirty      bool // on the loop's list of connections to settle
	wantData   bool // call OnData again without new bytes
	wantSpace  bool // call OnWritable
	recalled   bool // on the loop's list of connections to call again
	drainTold  bool // OnDrain was called
	anywhere   bool // the handler needs no namespace
	broken     bool // failed is set
	special    bool // reading and writing have to look at extra

	moved int64    // when bytes last moved, in the engine's clock
	buf   *buffers // what is held; nil is nothing

	context any
	failed  error // what went wrong inside a callback: close when it returns

	peer        netip.AddrPort
	timer       timer
	timerAt     int64     // SetTimer's; 0 is none
	deadline    int64     // SetDeadline's
	idleAfter   int64     // a duration
	kernelHolds int       // bytes not acknowledged when lingering was last looked at
	group       connLinks // the other connections of its namespace on this loop
	extra       *extras   // nil if it has nothing special
}

type connLinks struct{ prev, next *Conn }

// stage is how far a connection is towards its end.
type stage uint8

const (
	stageOpen       stage = iota
	stageConnecting       // dialed, and not yet open
	stageClosing          // Close was called: the output goes out, the input is thrown away
	stageLinger           // our half is shut down: waiting for the peer's
	stageClosed
)

// pauseReason says who does not want to read. A connection is read when
// nobody objects.
type pauseReason uint8

const (
	pausedByUser   pauseReason = 1 << iota
	pausedByOutput             // unsent bytes are above the high-water mark
	pausedByInput              // unread bytes are at their limit
	pausedByWork               // too much work waits, or a Close waits for work
	pausedByOuter              // Hold
)

const (
	askedClose uint32 = 1 << iota
	askedWake
)

// directWrite is the size in bytes from which a Write goes to the kernel at
// once, from the caller's memory, instead of being copied to be sent when the
// callback returns: copying costs more than a system call from about here.
const directWrite = 8 << 10

// Namespace is the namespace that the connection was accepted or dialed in. Any
// goroutine may call it.
func (c *Conn) Namespace() *Namespace { return c.ep.cell.ns }

// RemoteAddr is the peer's address. Any goroutine may call it; that of a
// connection that was dialed by a name is known from OnOpen on.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.peer }

// LocalAddr is the connection's own address, getsockname(2). It is the zero
// AddrPort before a dialed connection is made, and once it is closed.
func (c *Conn) LocalAddr() netip.AddrPort {
	if c.fd < 0 {
		return netip.AddrPort{}
	}
	addr, _ := localAddr(c.fd) // fails for a closed descriptor only
	return addr
}

// Control calls f with the connection's descriptor, for socket options that the
// engine has no word for: setsockopt(2), TCP_INFO of tcp(7). f must neither
// read, write nor close it, and not keep it: the number is another's once the
// connection is closed. On a closed connection f is not called; the error is
// [ErrClosed].
func (c *Conn) Control(f func(fd int)) error {
	if c.fd < 0 {
		return c.error("control", ErrClosed)
	}
	f(c.fd)
	return nil
}

// Port is the port that the handler was registered for, or that was dialed. Any
// goroutine may call it.
func (c *Conn) Port() int { return c.ep.svc.port }

// Loop is the index of the connection's loop. Any goroutine may call it.
func (c *Conn) Loop() int { return c.loop.index }

// SetContext keeps something of the handler's with the connection.
func (c *Conn) SetContext(v any) { c.context = v }

// Context is what SetContext kept.
func (c *Conn) Context() any { return c.context }

// Enter brings the loop's thread into the connection's namespace, for a
// handler that is registered with [AnyNamespace] and now needs it: setns(2),
// unless the thread is there already. It stays valid until the callback
// returns. On an error the thread is where it was, and nothing that depends on
// the namespace may be done.
func (c *Conn) Enter() error {
	if err := c.loop.enterNamespace(c.ep.cell.ns); err != nil {
		c.ep.cell.errors[ErrorSwitch].inc()
		return c.error("enter", err)
	}
	return nil
}

// Buffered is the number of bytes that have arrived and not been consumed.
func (c *Conn) Buffered() int { return c.unread() }

// Peek returns the next n bytes without consuming them, all of them if n is
// negative, in one piece and without a copy. If fewer have arrived it returns
// those and [io.ErrShortBuffer]. The slice is valid until the callback
// returns.
func (c *Conn) Peek(n int) ([]byte, error) {
	var held []byte
	if c.buf != nil {
		held = c.buf.in.bytes()
	}
	switch {
	case n < 0:
		return held, nil
	case n > len(held):
		return held, io.ErrShortBuffer
	}
	return held[:n:n], nil
}

// Next is Peek, and consumes what it returns. If fewer than n bytes have
// arrived it returns none and [io.ErrShortBuffer], and consumes none. The
// slice is valid until the callback returns.
func (c *Conn) Next(n int) ([]byte, error) {
	b, err := c.Peek(n)
	if err != nil {
		return nil, err
	}
	c.Discard(len(b))
	return b, nil
}

// Discard consumes up to n bytes and returns how many.
func (c *Conn) Discard(n int) int {
	n = max(min(n, c.unread()), 0)
	if n == 0 {
		return 0
	}
	c.buf.in.discard(n)
	if c.pause&pausedByInput != 0 && c.unread() < c.loop.limits.readMax {
		c.pause &^= pausedByInput
		c.loop.markDirty(c)
	}
	return n
}

// Write queues p behind what was written before; what a callback writes goes
// out when it returns, in one system call. p is the caller's again when Write
// returns. It takes all of p or, with [ErrOverflow] or [ErrClosed], nothing;
// above the high-water mark it still takes, but reading stops (see OnWritable).
// From another goroutine use AsyncWrite.
func (c *Conn) Write(p []byte) (int, error) {
	if c.closingWrite() {
		return 0, ErrClosed
	}
	return c.write(p)
}

// closingWrite reports whether the write half is to end.
func (c *Conn) closingWrite() bool {
	return c.finWanted || c.asked.Load()&askedClose != 0 && !c.finishing()
}

// write is Write for what was asked for before a Close that may have been
// asked for since.
func (c *Conn) write(p []byte) (int, error) {
	if c.stage > stageConnecting || c.finWanted {
		return 0, ErrClosed
	}
	if c.special {
		return c.writeSpecial(p)
	}
	return c.put(p)
}

// writeSpecial is write for a connection with a filter or a tap.
func (c *Conn) writeSpecial(p []byte) (n int, err error) {
	if f := c.extra.filter; f != nil {
		n, err = c.output(f, p)
	} else {
		n, err = c.put(p)
	}
	if err == nil {
		c.tapped(Outbound, p)
	}
	return n, err
}

// put sends p, or queues it, past any filter.
func (c *Conn) put(p []byte) (int, error) {
	if err := c.unwritable(); err != nil {
		return 0, err
	}
	if err := c.checkOverflow(len(p)); err != nil {
		return 0, err
	}
	return c.send(p)
}

// unwritable is why nothing can be written.
func (c *Conn) unwritable() error {
	switch {
	case c.stage > stageConnecting:
		return ErrClosed
	case c.broken:
		return c.failed
	}
	return nil
}

// checkOverflow counts and refuses what would be too much unsent.
func (c *Conn) checkOverflow(size int) error {
	if c.Unsent()+size <= c.loop.limits.writeMax {
		return nil
	}
	c.ep.cell.errors[ErrorOverflow].inc()
	return c.error("write", ErrOverflow)
}

// send sends p, or queues it.
func (c *Conn) send(p []byte) (int, error) {
	size := len(p)
	if size >= directWrite && !c.blocked {
		sent, err := c.writeDirect(p)
		if err != nil {
			return 0, err
		}
		p = p[sent:]
	}
	if len(p) > 0 {
		c.queue(p)
	}
	return size, nil
}

// writeDirect sends what is queued and p, as far as the kernel takes it, and
// returns how much of p that was.
func (c *Conn) writeDirect(p []byte) (int, error) {
	var n int
	var e errno
	queued := c.Unsent()
	if queued == 0 {
		n, e = writeSocket(c.fd, p)
	} else {
		n, e = writeTwo(c.fd, c.buf.out.bytes(), p)
	}
	c.sent(n)
	if e != 0 && !notReady(e) {
		c.fail(c.writeError(e))
		c.loop.markDirty(c)
		return 0, c.failed
	}
	c.blocked = n < queued+len(p)
	if queued > 0 {
		c.buf.out.release(min(n, queued))
	}
	return max(n-queued, 0), nil
}

func (c *Conn) queue(p []byte) {
	c.holdBuffers()
	c.buf.out.append(p)
	c.loop.markDirty(c)
}

// holdBuffers makes sure that there are some.
func (c *Conn) holdBuffers() {
	switch l := c.loop; {
	case c.buf != nil:
	case c == l.running:
		c.buf = l.lend(c)
	default:
		c.buf = l.spareBuffers()
	}
}

// flush sends what is queued: one send(2), and no second that would only say
// EAGAIN.
func (c *Conn) flush() {
	out := &c.buf.out
	n, e := writeSocket(c.fd, out.bytes())
	if e != 0 && !notReady(e) {
		c.fail(c.writeError(e))
		return
	}
	c.blocked = n < out.len()
	out.release(n)
	c.sent(n)
}

// fail has the connection destroyed when its callback returns.
func (c *Conn) fail(err error) { c.failed, c.broken = err, true }

func (c *Conn) sent(n int) {
	if n > 0 {
		c.loop.countOut(c.ep, n)
		c.loop.spend(c, n)
		if c.special {
			c.extra.traffic.out += uint64(n)
		}
		c.moved = c.loop.now
	}
}

// Unsent is the number of bytes that were written and that the kernel has not
// taken yet.
func (c *Conn) Unsent() int {
	if c.buf == nil {
		return 0
	}
	return c.buf.out.len()
}

func (c *Conn) unread() int {
	if c.buf == nil {
		return 0
	}
	return c.buf.in.len()
}

// Pause stops reading: no OnData until Resume. The peer feels it when the
// kernel's buffers are full.
func (c *Conn) Pause() {
	c.pause |= pausedByUser
	c.loop.markDirty(c)
}

// Resume ends a Pause. If bytes were left unread, OnData is called for them
// within the same or the next turn of the loop.
func (c *Conn) Resume() { c.unpause(pausedByUser) }

// SetDeadline ends the connection at t, with [ErrDeadline], whatever it is
// doing. The zero time takes the deadline away. It is kept to the millisecond.
func (c *Conn) SetDeadline(t time.Time) {
	c.deadline = 0
	if !t.IsZero() {
		c.deadline = max(c.loop.eng.clockAt(t), 1)
	}
	c.loop.arm(c)
}

// SetIdleTimeout ends the connection with [ErrIdle] when nothing has been read
// or sent for d. 0 is never.
func (c *Conn) SetIdleTimeout(d time.Duration) {
	c.idleAfter = int64(max(d, 0))
	c.loop.arm(c)
}

// SetTimer calls OnTimer once, in d; a later SetTimer replaces it, and 0 or
// less takes it away. It is kept to the millisecond, and never early.
func (c *Conn) SetTimer(d time.Duration) {
	c.timerAt = 0
	if d > 0 {
		c.timerAt = later(c.loop.eng.clock(), int64(d))
	}
	c.loop.arm(c)
}

// AsyncWrite is Write from any goroutine. p must not change until done is called,
// though several AsyncWrites may share it. That happens once and always: on the
// connection's loop, as by Call, with nil when p has been queued or with the reason
// why not, or, when there is no loop any more, at once with [ErrStopped]. done may be
// nil. Writes of one goroutine keep their order.
func (c *Conn) AsyncWrite(p []byte, done func(error)) {
	if !c.loop.post(task{kind: taskWrite, conn: c, data: p, done: done}) && done != nil {
		done(ErrStopped)
	}
}

// Wake has OnWake called on the connection's loop. Any goroutine may call it;
// a Wake before the last one was answered is the same Wake. On a closed
// connection it does nothing.
func (c *Conn) Wake() {
	for {
		asked := c.asked.Load()
		if asked&askedWake != 0 {
			return
		}
		if c.asked.CompareAndSwap(asked, asked|askedWake) {
			c.loop.post(task{kind: taskWake, conn: c})
			return
		}
	}
}

// Call runs f on the connection's loop, in its namespace as a callback would
// be. Any goroutine may call it. It reports whether f will run: not if the
// engine has stopped. If the connection closes first, f still runs, with the
// thread at home, and finds it closed.
func (c *Conn) Call(f func(*Conn)) bool {
	return c.loop.post(task{kind: taskCall, conn: c, call: f})
}

// Close ends the connection in order: no more OnData, what was written goes
// out, then the end of file; when the peer has closed its half too, or after
// Config.LingerTimeout without progress, OnClose is called. Any goroutine may
// call it, any number of times.
func (c *Conn) Close() {
	for {
		asked := c.asked.Load()
		if asked&askedClose != 0 {
			return
		}
		if c.asked.CompareAndSwap(asked, asked|askedClose) {
			c.loop.post(task{kind: taskClose, conn: c})
			return
		}
	}
}

// CloseWrite shuts down the write half after what was written is out: the peer
// reads an end of file, and can still send. Any goroutine may call it.
func (c *Conn) CloseWrite() { c.loop.post(task{kind: taskCloseWrite, conn: c}) }

// CloseNow resets the connection: no more OnData, the peer gets a RST, queued
// bytes are lost. OnClose gets [ErrClosedNow]. Any goroutine may call it.
func (c *Conn) CloseNow() {
	c.asked.Or(askedClose)
	c.loop.post(task{kind: taskCloseNow, conn: c})
}

// Fail ends the connection for a reason when the callback returns: the peer gets a
// RST, queued bytes are lost, and OnClose gets the reason in an [*Error]. It counts
// as a [ErrorHandler]. Where the peer is to be told first, write and CloseWith.
func (c *Conn) Fail(reason error) {
	if c.stage == stageClosed || c.broken {
		return
	}
	c.ep.cell.errors[ErrorHandler].inc()
	c.fail(c.error("handler", reason))
	c.loop.markDirty(c)
}

// CloseWith is Close with a reason, which OnClose gets in an [*Error] unless
// something has gone wrong before. It counts as a [ErrorHandler]. Unlike Close it
// belongs to the loop's callbacks.
func (c *Conn) CloseWith(reason error) { c.closeWith(ErrorHandler, "handler", reason) }

func (c *Conn) closeWith(kind ErrorKind, op string, reason error) {
	if (c.open() || c.stage == stageConnecting) && !c.broken && reason != nil {
		c.ep.cell.errors[kind].inc()
		c.needExtras().reason = c.error(op, reason)
	}
	c.Close()
}

// Paused reports whether a Pause has not been followed by a Resume.
func (c *Conn) Paused() bool { return c.pause&pausedByUser != 0 }

// error puts a cause into the connection's terms.
func (c *Conn) error(op string, cause error) error {
	return &Error{Op: op, Namespace: c.ep.cell.ns.Name(), Addr: c.peer, Err: cause}
}

func (c *Conn) writeError(e errno) error {
	c.ep.cell.errors[ErrorWrite].inc()
	return c.error("write", e)
}

// open reports whether handler code may still be called for data.
func (c *Conn) open() bool {
	return c.stage == stageOpen && c.asked.Load()&askedClose == 0
}
