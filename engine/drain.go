package engine

import "time"

// orphanTimeout bounds how long the kernel may go on delivering the last bytes
// of a connection of a draining namespace after its close(2): while it does,
// it keeps the namespace alive.
const orphanTimeout = 2 * time.Second

// drain starts the end of a namespace on this loop: its listeners close at
// once, its connections are told, and have until the deadline (in the engine's
// clock).
func (l *loop) drain(c *cell, deadline int64) {
	if c.draining {
		if c.deadline.index != 0 && deadline < c.deadline.when {
			l.timers.set(&c.deadline, deadline)
		}
		return
	}
	c.draining = true
	c.guests.setDraining()
	l.drains = append(l.drains, c)
	c.deadline.fire = func(l *loop) { l.cutOff(c) }
	l.timers.set(&c.deadline, deadline)
	l.goOnDraining(c)
}

// goOnDraining is the rest of drain, from wherever it was left.
func (l *loop) goOnDraining(c *cell) {
	for _, ls := range c.listeners {
		ls.spread = false // the other loops may be through with it
		l.emptyBacklog(ls)
	}
	l.unlisten(c, nil)
	for n := len(c.packetConns); n > 0; n = len(c.packetConns) {
		l.closePackets(c.packetConns[n-1], nil)
	}
	for _, conn := range l.connsOf(c) {
		l.guard(func() { l.drainConn(conn) })
	}
}

// emptyBacklog accepts what waits, at most a backlog's worth: those in it have a
// connection, as they see it.
func (l *loop) emptyBacklog(ls *listener) {
	cell := ls.ep.cell
	taken := func() uint64 { return cell.accepted.load() + cell.rejected.load() }
	for end := taken() + uint64(l.eng.cfg.Backlog); taken() < end; {
		before := taken()
		l.guard(func() { l.serveListener(ls) })
		if taken() == before {
			return
		}
	}
}

// connsOf is a copy of the list, which callbacks change.
func (l *loop) connsOf(c *cell) []*Conn {
	conns := make([]*Conn, 0, c.open.load())
	for conn := c.conns; conn != nil; conn = conn.group.next {
		conns = append(conns, conn)
	}
	return conns
}

// drainConn tells a connection of the drain, once.
func (l *loop) drainConn(c *Conn) {
	if c.drainTold {
		return
	}
	c.drainTold = true
	if c.stage == stageConnecting {
		l.giveUp(c, ErrorDial, ErrDraining)
		return
	}
	l.show(c.ep)
	l.tell(c, onDrain)
	l.settle(c)
	l.leave()
}

// cutOff resets what is still open.
func (l *loop) cutOff(c *cell) {
	for _, conn := range l.connsOf(c) {
		l.stats.resets.inc()
		l.guard(func() { l.expel(conn, ErrorDrain, ErrDrained) })
	}
	l.cutOffGuests(c)
}

// endDrains looks for namespaces of which nothing is left on this loop, takes
// the thread out of them, and reports them.
func (l *loop) endDrains() {
	left := l.drains[:0]
	for _, c := range l.drains {
		if c.busy() {
			left = append(left, c)
			continue
		}
		c.drained = true
		l.timers.remove(&c.deadline)
		l.evict(c.ns)
		l.publish() // its last counts
		delete(l.cells, c.ns)
		l.eng.cleared(c.ns)
	}
	clear(l.drains[len(left):])
	l.drains = left
}

// busy reports whether something of the namespace is still used here.
func (c *cell) busy() bool {
	return c.conns != nil || c.listeners != nil || len(c.packetConns) > 0 || c.inside.load() > 0 || c.lookups.load() > 0 || c.guests.len() > 0
}

// evict takes the thread out of a namespace that is going away: it would keep
// it alive.
func (l *loop) evict(ns *Namespace) {
	if l.at == ns {
		l.goHome()
		l.publish()
	}
	if l.shown != nil && l.shown.cell.ns == ns {
		l.shown = nil
		l.serving.Store(nil)
	}
}
