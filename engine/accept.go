package engine

import (
	"time"

	"github.com/nsreactor/nsreactor/poller"
)

// listener is a listening socket on a loop.
type listener struct {
	source
	fd     int
	token  poller.Token
	spread bool // hand connections to the loop with the fewest
	armed  bool
	pause  time.Duration // how long the last pause was; 0 if accepting goes well
	timer  timer
}

// How long a listener pauses when descriptors or memory are used up. The
// connections wait in its backlog meanwhile; none is lost.
const (
	minAcceptPause = 20 * time.Millisecond
	maxAcceptPause = time.Second
)

// listen takes over a listening socket.
func (l *loop) listen(ep *endpoint, fd int, spread bool) {
	if ep.cell.draining || l.stopping {
		l.eng.closeListener(ep.svc, fd)
		return
	}
	l.cells[ep.cell.ns] = ep.cell
	ls := &listener{fd: fd, spread: spread}
	ls.ep = ep
	ls.serve = func(l *loop, _ poller.Readiness) { l.serveListener(ls) }
	ls.timer.fire = func(l *loop) { l.armListener(ls) }
	ls.token = l.table.put(nil, &ls.source)
	ep.cell.listeners = append(ep.cell.listeners, ls)
	ep.cell.listening.inc()
	l.stats.listeners.inc()
	l.armListener(ls)
}

func (l *loop) armListener(ls *listener) {
	if err := l.poller.Add(ls.fd, ls.token, poller.Readable); err != nil {
		ls.ep.cell.errors[ErrorRegister].inc()
		l.eng.log.Error("cannot poll listener; trying again", "netns", ls.ep.cell.ns.Name(), "port", ls.ep.svc.port, "err", err)
		l.timers.set(&ls.timer, l.eng.clock()+int64(maxAcceptPause))
		return
	}
	ls.armed = true
}

// unlisten closes a cell's listening sockets, at once: all of them, or those of
// one service.
func (l *loop) unlisten(c *cell, only *service) {
	var left []*listener
	for _, ls := range c.listeners {
		if only != nil && ls.ep.svc != only {
			left = append(left, ls)
			continue
		}
		l.timers.remove(&ls.timer)
		l.disarmListener(ls)
		l.table.drop(ls.token)
		l.eng.closeListener(ls.ep.svc, ls.fd)
		ls.fd = -1
		c.listening.dec()
		l.stats.listeners.dec()
	}
	c.listeners = left
}

// disarmListener has the poller forget a listener; what waits in its backlog
// stays there.
func (l *loop) disarmListener(ls *listener) {
	if ls.armed {
		ls.armed = false
		_ = l.poller.Remove(ls.fd) // it was added; and a spurious event is harmless
	}
}

// serveListener accepts what waits, up to the budget.
func (l *loop) serveListener(ls *listener) {
	if ls.fd < 0 {
		l.stats.stale.inc()
		return
	}
	l.show(ls.ep)
	bridge := ls.ep.svc.bridge
	for range l.eng.cfg.AcceptBudget {
		if bridge != nil && bridge.isFull(l, ls) {
			return
		}
		a, e := l.accept(ls.fd)
		if e != 0 {
			if !notReady(e) && l.acceptFailed(ls, e) {
				return
			}
			if notReady(e) {
				return
			}
			continue
		}
		ls.pause = 0
		l.distribute(ls, a)
		if ls.fd < 0 {
			return
		}
	}
}

// acceptFailed counts a failure and reports whether the listener has to wait.
func (l *loop) acceptFailed(ls *listener, e errno) (wait bool) {
	kind, exhausted := acceptFailure(e)
	ls.ep.cell.errors[kind].inc()
	if !exhausted {
		return false
	}
	if ls.pause == 0 {
		l.eng.log.Warn("cannot accept; pausing this listener", "netns", ls.ep.cell.ns.Name(), "port", ls.ep.svc.port,
			"err", describeDescriptors(e))
	}
	ls.pause = min(max(2*ls.pause, minAcceptPause), maxAcceptPause)
	l.disarmListener(ls)
	l.timers.set(&ls.timer, l.eng.clock()+int64(ls.pause))
	return true
}

// distribute gives a new connection to its loop.
func (l *loop) distribute(ls *listener, a accepted) {
	if ls.ep.svc.bridge != nil {
		l.handOver(ls.ep, a)
		return
	}
	target := l
	if ls.spread {
		target = l.eng.lightest(l)
	}
	target.load.Add(1)
	if target == l {
		l.adopt(ls.ep, a)
		l.leave()
		return
	}
	if !target.post(task{kind: taskAdopt, ep: ls.ep.port.eps[target.index], fd: a}) {
		target.load.Add(-1)
		l.reject(ls.ep.cell, a)
	}
}

// adopt makes a connection of an accepted socket.
func (l *loop) adopt(ep *endpoint, a accepted) {
	cell := ep.cell
	if cell.drained || l.stopping || l.eng.full(cell.ns) {
		l.load.Add(-1)
		l.reject(cell, a)
		return
	}
	l.cells[cell.ns] = cell
	c := &Conn{loop: l, ep: ep, anywhere: ep.anywhere, fd: a.fd, peer: a.peer, moved: l.now, idleAfter: int64(l.eng.cfg.IdleTimeout)}
	c.token = l.table.put(c, nil)
	cell.add(c)
	cell.accepted.inc()
	l.stats.conns.inc()
	if c.idleAfter != 0 {
		l.arm(c)
	}
	l.tell(c, onOpen)
	l.settle(c)
	if cell.draining {
		l.drainConn(c) // it was on its way here when the drain began
	}
}

// reject resets a connection that is over a limit or too late.
func (l *loop) reject(cell *cell, a accepted) {
	cell.rejected.inc()
	setReset(a.fd)
	closeSocket(a.fd)
}
