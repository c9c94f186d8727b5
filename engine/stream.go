package engine

import (
	"cmp"
	"errors"

	"github.com/nsreactor/nsreactor/poller"
)

// carryMax is how many unread bytes are carried over into the loop's scratch
// before a read, so that the read has its whole length and the connection
// needs no memory of its own meanwhile. More stay where they are.
const carryMax = 4 << 10

// serveConn handles a connection's readiness.
func (l *loop) serveConn(c *Conn, ready poller.Readiness) {
	l.show(c.ep)
	if ready.Writable() {
		c.blocked = false // settle writes
	}
	switch {
	case c.interest&poller.Readable == 0 && (ready.Failed() || ready.HungUp()):
		l.serveHangup(c, ready)
	case ready.Readable() || ready.Failed() || ready.HungUp():
		l.serveReadable(c)
	}
	l.settle(c)
	l.leave()
}

// serveHangup is for a connection that is not being read but whose end can't
// be masked: it leaves the poller, which would go on saying so, until reading
// is resumed. With an error, or with nothing left to send, it is over.
func (l *loop) serveHangup(c *Conn, ready poller.Readiness) {
	switch {
	case c.eof && c.finSent:
		l.destroy(c, nil)
		return
	case ready.Failed():
		if err := pendingError(c.fd); err != nil {
			c.ep.cell.errors[ErrorRead].inc()
			c.fail(c.error("read", err))
			return
		}
	}
	l.unregister(c)
}

// serveReadable reads once. Level-triggered readiness brings the rest in the
// next turn, after everyone else's.
func (l *loop) serveReadable(c *Conn) {
	if c.stage != stageOpen {
		l.throwAway(c)
		return
	}
	if c.wantData {
		l.tellLeftovers(c) // before there is more, or the end
		if c.pause != 0 || c.broken || c.wantData {
			return
		}
	}
	if c.special {
		if f := c.extra.filter; f != nil {
			l.serveFiltered(c, f)
			return
		}
		if c.extra.into.done != nil {
			l.serveInto(c)
			return
		}
	}
	if c.unread() >= l.limits.readMax {
		c.pause |= pausedByInput
		return
	}
	c.prepareInput()
	in := &c.buf.in
	room := in.room(carryMax)
	n, e := readSocket(c.fd, room[:min(len(room), l.limits.readChunk)])
	switch {
	case n > 0:
		in.fill(n)
		c.moved = l.now
		l.received(c, n)
		if c.special {
			c.tapped(Inbound, room[:n])
		}
		l.tell(c, onData)
		if c.special {
			l.tellFilled(c)
		}
		if c.unread() >= l.limits.readMax {
			c.pause |= pausedByInput
		}
	case e == 0:
		c.eof = true
		l.tell(c, onReadEOF)
	case !notReady(e):
		c.ep.cell.errors[ErrorRead].inc()
		c.fail(c.error("read", e))
	}
}

// prepareInput gives a connection that is about to be read the loop's scratch.
func (c *Conn) prepareInput() {
	if c.buf == nil {
		c.buf = c.loop.lend(c)
	}
	if in := &c.buf.in; !in.lent && in.len() <= carryMax {
		in.lend(c.loop.input)
	}
}

// throwAway reads what a closing connection's peer still sends. Left in the
// kernel it would turn the close into a reset, and the reset could overtake
// the last replies.
func (l *loop) throwAway(c *Conn) {
	n, e := readSocket(c.fd, l.input)
	switch {
	case n > 0:
		l.received(c, n)
	case e == 0:
		c.eof = true
	case !notReady(e):
		// The peer is gone. It has what it wanted, or it did not want it.
		c.fail(c.error("read", e))
	}
}

// The callbacks that tell can make.
func onOpen(h Handler, c *Conn)     { h.OnOpen(c) }
func onData(h Handler, c *Conn)     { h.OnData(c) }
func onReadEOF(h Handler, c *Conn)  { h.OnReadEOF(c) }
func onWritable(h Handler, c *Conn) { h.OnWritable(c) }
func onWake(h Handler, c *Conn)     { h.OnWake(c) }
func onTimer(h Handler, c *Conn)    { h.OnTimer(c) }
func onDrain(h Handler, c *Conn)    { h.OnDrain(c) }

// tell makes a callback in the namespace that it is to find itself in, or none
// if that can't be entered: the connection then fails with ErrSwitch. A
// connection that is closing is told nothing.
func (l *loop) tell(c *Conn, callback func(Handler, *Conn)) {
	if !c.open() {
		return
	}
	if err := l.enter(c); err != nil {
		c.ep.cell.errors[ErrorSwitch].inc()
		c.fail(c.error("enter", err))
		return
	}
	l.running = c
	callback(c.ep.handler, c)
	l.running = nil
	if l.limits.checkThread {
		l.checkThread(c)
	}
}

// checkThread catches a handler that has left the thread somewhere else.
func (l *loop) checkThread(c *Conn) {
	if err := l.strayed(c.ep); err != nil {
		c.fail(c.error("handler", err))
	}
}

// strayed says whether, and brings the thread home.
func (l *loop) strayed(ep *endpoint) error {
	if l.thread == nil {
		return nil
	}
	err := l.thread.Verify()
	if err == nil {
		return nil
	}
	l.at = nil
	l.stats.strays.inc()
	ep.cell.errors[ErrorStray].inc()
	l.eng.log.Error("handler left its thread in another namespace", "netns", ep.cell.ns.Name(), "port", ep.svc.port, "err", err)
	l.goHome()
	return errors.Join(ErrStrayed, err)
}

// settle brings a connection into order after its callbacks: what they wrote
// goes out, what they left unread is kept, whoever must wait waits. It calls
// no handler but, when the connection is at its end, OnClose.
func (l *loop) settle(c *Conn) {
	if c.stage == stageClosed {
		return
	}
	if c.special {
		c.dropReserved()
		l.flushFilter(c)
	}
	if !c.broken && !c.blocked && c.Unsent() > 0 {
		c.flush()
	}
	if c.broken {
		l.destroy(c, c.failed)
		return
	}
	if c.special {
		l.settleInto(c)
		l.settleSpace(c)
	}
	if c.buf != nil {
		l.takeBack(c)
	}
	if c.quiet() {
		return
	}
	l.watermarks(c)
	if c.stage == stageConnecting {
		return // what else there is waits for the connection
	}
	if c.finWanted && c.Unsent() == 0 && !l.sayFin(c) {
		return
	}
	l.updateInterest(c)
}

// quiet reports whether a connection holds nothing, wants nothing and is read, as
// the poller knows: what nearly every message leaves behind.
func (c *Conn) quiet() bool {
	return c.buf == nil && c.pause == 0 && !c.finWanted && !c.eof && c.registered && c.interest == poller.Readable
}

// watermarks stops reading when too much is unsent, and goes on, telling the
// handler, when half of that or less is.
func (l *loop) watermarks(c *Conn) {
	high := l.eng.cfg.WriteHighWater
	switch unsent := c.Unsent(); {
	case unsent > high:
		c.awaitSpace()
	case c.pause&pausedByOutput != 0 && unsent <= high/2:
		c.pause &^= pausedByOutput
		c.wantSpace = true
		c.wantData = c.hasNews()
		l.runAgain(c)
	}
}

// sayFin shuts our half down once everything is out. It reports whether the
// connection goes on.
func (l *loop) sayFin(c *Conn) bool {
	if c.eof && c.stage != stageOpen {
		l.destroy(c, nil) // the peer's half is down already: close(2) says it all
		return false
	}
	if c.finSent {
		return true
	}
	c.finSent = true
	if c.stage == stageClosing {
		c.stage = stageLinger
	}
	if err := shutdownWrite(c.fd); err != nil {
		c.ep.cell.errors[ErrorWrite].inc()
		l.destroy(c, c.error("shutdown", err))
		return false
	}
	return true
}

// updateInterest tells the poller what the connection waits for, if that has
// changed.
func (l *loop) updateInterest(c *Conn) {
	var want poller.Interest
	if !c.eof && (c.pause == 0 || c.stage != stageOpen) {
		want |= poller.Readable
	}
	if c.blocked && c.Unsent() > 0 {
		want |= poller.Writable
	}
	var err error
	switch {
	case !c.registered && want != 0:
		err = l.poller.Add(c.fd, c.token, want)
		c.registered = err == nil
	case c.registered && want != c.interest:
		err = l.poller.Modify(c.fd, c.token, want)
	}
	c.interest = want
	if err != nil {
		c.ep.cell.errors[ErrorRegister].inc()
		l.destroy(c, c.error("register", err))
	}
}

func (l *loop) unregister(c *Conn) {
	if !c.registered {
		return
	}
	c.registered = false
	if err := l.poller.Remove(c.fd); err != nil {
		l.eng.log.Error("removing a connection from the poller", "peer", c.peer, "err", err)
	}
}

// serveAgain makes the callbacks that were put off.
func (l *loop) serveAgain(c *Conn) {
	if c.stage == stageConnecting {
		l.startDial(c)
		return
	}
	if c.stage != stageOpen || c.broken {
		return
	}
	if c.overspent() {
		l.runAgain(c) // in the next turn
		return
	}
	l.show(c.ep)
	if c.wantSpace {
		c.wantSpace = false
		l.tell(c, onWritable)
	}
	if c.wantData {
		l.tellLeftovers(c)
	}
	l.settle(c)
	l.leave()
}

// tellLeftovers calls OnData for bytes that were left unread before a pause, if
// it is over. That they fill the buffer is no reason not to: only the handler
// can make room.
func (l *loop) tellLeftovers(c *Conn) {
	c.wantData = false
	if c.pause&^pausedByInput == 0 {
		l.tellData(c)
	}
}

// shut starts an orderly close.
func (l *loop) shut(c *Conn) {
	if c.stage == stageConnecting {
		l.shutDial(c)
		return
	}
	if c.stage != stageOpen {
		return
	}
	if x := c.extra; x != nil && x.work.open > 0 {
		x.work.close = true
		c.pause |= pausedByWork
		l.settle(c)
		return
	}
	c.endOutput()
	c.stage = stageClosing
	c.moved = l.now
	if c.buf != nil {
		c.buf.in.reset()
	}
	if c.finSent {
		c.stage = stageLinger
	}
	l.arm(c)
	l.settle(c)
}

// destroy is the one way out of the table. The error is what OnClose gets, and
// the peer gets a reset for it. The descriptor is closed when the turn is over.
func (l *loop) destroy(c *Conn, err error) {
	if c.stage == stageClosed {
		return
	}
	if c.stage == stageConnecting {
		l.endDial(c)
	}
	c.stage = stageClosed
	l.unregister(c)
	l.table.drop(c.token)
	l.timers.remove(&c.timer)
	l.dropAlarms(c)
	c.ep.cell.remove(c)
	l.stats.conns.dec()
	l.load.Add(-1)
	l.dropBuffers(c)
	c.ep.publish()
	switch {
	case c.fd < 0: // detached, or never connected
	case err != nil:
		setReset(c.fd) // an orderly end would tell the peer that it has everything
	case c.ep.cell.draining:
		setUserTimeout(c.fd, orphanTimeout)
	}
	l.retire(c)
	l.tellClosed(c, err)
}

// retire has the descriptor closed when the turn is over.
func (l *loop) retire(c *Conn) {
	if c.fd >= 0 {
		l.dead = append(l.dead, c.fd)
		c.fd = -1
	}
}

// tellClosed says that a connection is gone: to its work, its filter, its handler.
func (l *loop) tellClosed(c *Conn, err error) {
	if x := c.extra; x != nil {
		err = cmp.Or(x.reason, err) // what came after the reason came of it
		if x.work.cancel != nil {
			x.work.cancel(c.error("work", ErrClosed))
		}
		if x.filter != nil {
			defer l.tellOnClose(c, err) // also after a Goexit in Closed
			l.filter(c, func() error { x.filter.Closed(c.Wire()); return nil })
			return
		}
	}
	l.tellOnClose(c, err)
}

// tellOnClose is OnClose. It runs even if the namespace can't be entered, since
// a handler frees there what it holds; the thread is then at home.
func (l *loop) tellOnClose(c *Conn, err error) {
	if c.ep.cell.drained {
		l.goHome() // the namespace may be waiting for this thread to be out of it
	} else if e := l.enter(c); e != nil {
		l.goHome()
		if err == nil {
			err = c.error("enter", e)
		}
	}
	l.running = c
	c.ep.handler.OnClose(c, err)
	l.running = nil
	c.context = nil
	if l.limits.checkThread {
		l.checkThread(c)
	}
}
