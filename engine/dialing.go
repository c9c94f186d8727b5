package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/poller"
)

// dial is a connection on its way to being one. It belongs to the connection's
// loop, and goes when the connection is made or given up.
type dial struct {
	conn     *Conn
	untried  []netip.AddrPort   // in the order to try them
	attempts []*attempt         // under way
	next     timer              // when to try another address
	limit    timer              // when to give up
	cancel   context.CancelFunc // ends the lookup of its name; nil if there is none
	wait     time.Duration      // before a unix socket's backlog is tried again
	woken    bool               // OnWake is due
	err      error              // what the attempts failed of
}

// attempt is a socket that may become the connection.
type attempt struct {
	source
	fd    int
	token poller.Token
	peer  netip.AddrPort
}

// attemptDelay is how long an attempt has before another address is tried
// besides: RFC 8305, section 5.
const attemptDelay = 250 * time.Millisecond

// maxAddresses is how many addresses of a name are tried.
const maxAddresses = 32

// How long to wait before a unix socket with a full backlog is tried again:
// doubled each time.
const (
	minUnixRetry = time.Millisecond
	maxUnixRetry = 100 * time.Millisecond
)

// admit says why a dial can't begin, if it can't.
func (l *loop) admit(cell *cell) (ErrorKind, error) {
	switch {
	case l.stopping:
		return ErrorDial, ErrStopped
	case cell.draining:
		return ErrorDial, ErrDraining
	case l.eng.full(cell.ns):
		return ErrorDialLimit, ErrMaxConns
	}
	return 0, nil
}

// enroll makes a dialed connection one of the loop's.
func (l *loop) enroll(c *Conn) {
	l.load.Add(1)
	l.stats.conns.inc()
	c.ep.cell.add(c)
}

// runDial is the loop's side of Engine.Dial.
func (l *loop) runDial(c *Conn) {
	kind, err := l.admit(c.ep.cell)
	l.enroll(c)
	l.load.Add(-1) // it was counted when it was sent here
	if err != nil {
		l.giveUp(c, kind, err)
		return
	}
	l.startDial(c)
}

// startDial begins to connect.
func (l *loop) startDial(c *Conn) {
	cell, d := c.ep.cell, c.extra.dial
	if d == nil || d.limit.fire != nil {
		return // it has begun
	}
	l.cells[cell.ns] = cell
	d.limit.fire = func(l *loop) { l.guard(func() { l.giveUp(c, ErrorDialTimeout, d.timeoutError()) }) }
	d.next.fire = func(l *loop) { l.guard(func() { l.tryNext(d) }) }
	l.timers.set(&d.limit, later(l.eng.clock(), int64(c.ep.svc.dial.timeout)))
	if c.ep.svc.network != "unix" && !c.peer.IsValid() {
		l.startLookup(d)
		return
	}
	d.untried = []netip.AddrPort{c.peer}
	l.tryNext(d)
}

// timeoutError is an ErrDialTimeout, and what has failed before.
func (d *dial) timeoutError() error {
	if d.err == nil {
		return ErrDialTimeout
	}
	return fmt.Errorf("%w; before that: %w", ErrDialTimeout, d.err)
}

// tryNext starts an attempt with the next address that can be tried at all. When
// none is left and nothing is under way, the dial has failed.
func (l *loop) tryNext(d *dial) {
	c := d.conn
	l.show(c.ep)
	for len(d.untried) > 0 {
		peer := d.untried[0]
		d.untried = d.untried[1:]
		err := l.attempt(d, peer)
		switch {
		case errors.Is(err, ErrSwitch):
			l.giveUp(c, ErrorSwitch, err)
			return
		case c.ep.svc.network == "unix" && backlogFull(err):
			d.wait = min(max(2*d.wait, minUnixRetry), maxUnixRetry)
			d.untried = append(d.untried, peer)
			l.timers.set(&d.next, l.eng.clock()+int64(d.wait))
			return
		case err != nil:
			d.note(peer, err)
			continue
		}
		if len(d.untried) > 0 {
			l.timers.set(&d.next, l.eng.clock()+int64(attemptDelay))
		}
		return
	}
	if len(d.attempts) == 0 {
		l.giveUp(c, failureKind(d.err), d.err)
	}
}

// note adds an attempt's failure to the others. With several addresses it says
// which.
func (d *dial) note(peer netip.AddrPort, err error) {
	if d.conn.peer != peer {
		err = fmt.Errorf("%v: %w", peer, err)
	}
	if d.err != nil {
		err = fmt.Errorf("%w; %w", d.err, err)
	}
	d.err = err
}

func failureKind(err error) ErrorKind {
	if timedOut(err) {
		return ErrorDialTimeout
	}
	return ErrorDial
}

// attempt starts to connect to an address, with a socket of the namespace. On
// an error there is none.
func (l *loop) attempt(d *dial, peer netip.AddrPort) error {
	c := d.conn
	if err := l.enterNamespace(c.ep.cell.ns); err != nil {
		return err
	}
	defer l.leave()
	fd, err := l.dialSocket(c.ep, peer)
	if err != nil {
		return describeDescriptors(err)
	}
	a := &attempt{fd: fd, peer: peer}
	a.ep = c.ep
	a.serve = func(l *loop, ready poller.Readiness) { l.serveAttempt(d, a, ready) }
	a.token = l.table.put(nil, &a.source)
	if err := l.poller.Add(fd, a.token, poller.Writable); err != nil {
		l.table.drop(a.token)
		closeSocket(fd)
		return err
	}
	d.attempts = append(d.attempts, a)
	return nil
}

// dialSocket makes a socket that is connecting, in the thread's namespace.
func (l *loop) dialSocket(ep *endpoint, peer netip.AddrPort) (fd int, err error) {
	svc, cfg := ep.svc, &l.eng.cfg
	switch {
	case l.eng.sim != nil:
		return l.eng.sim.dialSocket(ep, peer)
	case svc.network == "unix":
		return dialUnix(svc.dial.host)
	}
	return dialTCP(svc.dial.local, peer, cfg.KeepAlive, cfg.UserTimeout)
}

// serveAttempt is told that an attempt has come to something.
func (l *loop) serveAttempt(d *dial, a *attempt, ready poller.Readiness) {
	l.show(a.ep)
	err := pendingError(a.fd)
	switch {
	case err == nil && !ready.Writable() && !ready.Failed() && !ready.HungUp():
		return
	case err == nil && connectedToItself(a.fd, a.peer):
		err = errRefused
	}
	if err == nil {
		l.connected(d, a)
		return
	}
	l.drop(d, a)
	d.note(a.peer, err)
	l.tryNext(d)
}

// drop gives an attempt up.
func (l *loop) drop(d *dial, a *attempt) {
	_ = l.poller.Remove(a.fd) // it was added
	l.table.drop(a.token)
	l.dead = append(l.dead, a.fd)
	a.fd = -1
	d.attempts = slices.DeleteFunc(d.attempts, func(other *attempt) bool { return other == a })
}

// connected makes the connection what accepting it would have made it.
func (l *loop) connected(d *dial, a *attempt) {
	c := d.conn
	c.fd, c.stage, c.blocked, c.moved = a.fd, stageOpen, false, l.now
	if c.peer != a.peer {
		c.peer = a.peer // not written otherwise: others may be reading it
	}
	d.attempts = slices.DeleteFunc(d.attempts, func(other *attempt) bool { return other == a })
	l.table.drop(a.token)
	l.endDial(c)
	c.token = l.table.put(c, nil)
	c.interest, c.registered = poller.Readable, true
	if err := l.poller.Modify(c.fd, c.token, c.interest); err != nil {
		c.ep.cell.errors[ErrorRegister].inc()
		l.destroy(c, c.error("register", err))
		return
	}
	c.ep.cell.dialed.inc()
	l.arm(c)
	l.tell(c, onOpen)
	l.catchUp(c, d.woken)
	l.settle(c)
	l.leave()
}

// catchUp does what was asked for before there was a connection.
func (l *loop) catchUp(c *Conn, woken bool) {
	switch {
	case c.broken:
	case c.asked.Load()&askedClose != 0:
		l.shut(c)
	case woken:
		c.asked.And(^askedWake)
		l.tell(c, onWake)
	}
}

// endDial stops what is under way for a connection, because it is made or given
// up.
func (l *loop) endDial(c *Conn) {
	d := c.extra.dial
	c.extra.dial = nil
	l.timers.remove(&d.next)
	l.timers.remove(&d.limit)
	if d.cancel != nil {
		d.cancel()
	}
	for len(d.attempts) > 0 {
		l.drop(d, d.attempts[0])
	}
}

// giveUp ends a dial: OnClose gets the cause.
func (l *loop) giveUp(c *Conn, kind ErrorKind, cause error) {
	if c.stage != stageConnecting {
		return
	}
	c.ep.cell.errors[kind].inc()
	if host := c.ep.svc.dial.host; host != "" {
		cause = fmt.Errorf("%s: %w", host, cause)
	}
	l.destroy(c, c.error("dial", cause))
	l.leave()
}

// shutDial is an orderly close before there is a connection. If something was
// written, it is still to be delivered, and the dial goes on.
func (l *loop) shutDial(c *Conn) {
	if c.Unsent() == 0 {
		l.destroy(c, c.error("dial", ErrClosed))
	}
}
