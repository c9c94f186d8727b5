package engine

// arm sets a connection's one timer to the earliest of what it waits for.
func (l *loop) arm(c *Conn) {
	if c.stage == stageClosed {
		return
	}
	due := int64(0)
	for _, t := range [...]int64{c.deadline, c.timerDue(), c.idleDue(), c.lingerDue()} {
		if t != 0 && (due == 0 || t < due) {
			due = t
		}
	}
	if due == 0 {
		l.timers.remove(&c.timer)
		return
	}
	c.timer.conn = c
	l.timers.set(&c.timer, due)
}

// timerDue is when OnTimer is to be called, which is never before OnOpen; 0 is
// never.
func (c *Conn) timerDue() int64 {
	if c.stage == stageConnecting {
		return 0
	}
	return c.timerAt
}

// idleDue is when the connection will have been idle for too long if nothing
// moves; 0 is never.
func (c *Conn) idleDue() int64 {
	if c.idleAfter == 0 || c.stage == stageConnecting {
		return 0
	}
	return later(c.moved, c.idleAfter)
}

// lingerDue is when a closing connection will have made no progress for too
// long; 0 if it is not closing.
func (c *Conn) lingerDue() int64 {
	if c.stage <= stageConnecting {
		return 0
	}
	return later(c.moved, int64(c.loop.eng.cfg.LingerTimeout))
}

// runTimers fires what is due. The clock is read once, so that a timer that is
// set again by what it fires waits for the next turn.
func (l *loop) runTimers() {
	if len(l.timers) == 0 {
		return
	}
	now := l.eng.clock()
	for t := l.timers.due(now); t != nil; t = l.timers.due(now) {
		l.stats.timers.inc()
		if t.conn != nil {
			l.guard(func() { l.expire(t.conn, now) })
		} else {
			t.fire(l)
		}
	}
}

// expire does what is due for a connection and arms its timer for the rest.
// Most of the time nothing is: bytes have moved since the timer was set.
func (l *loop) expire(c *Conn, now int64) {
	is := func(due int64) bool { return due != 0 && due <= now }
	switch {
	case is(c.deadline):
		l.expel(c, ErrorDeadline, ErrDeadline)
	case is(c.lingerDue()):
		if l.peerTakes(c) {
			c.moved = now
			l.arm(c)
			return
		}
		l.expel(c, ErrorLinger, ErrLinger)
	case is(c.idleDue()):
		l.expel(c, ErrorIdle, ErrIdle)
	case is(c.timerDue()):
		c.timerAt = 0
		l.show(c.ep)
		l.tell(c, onTimer)
		l.arm(c)
		l.settle(c)
		l.leave()
	default:
		l.arm(c)
	}
}

// peerTakes reports whether a closing connection's peer has taken some of what
// the kernel still holds for it, since this was asked last.
func (l *loop) peerTakes(c *Conn) bool {
	before := c.kernelHolds
	c.kernelHolds = unacknowledged(c.fd)
	return c.kernelHolds < before || before == 0 && c.kernelHolds > 0
}

// expel resets a connection and counts why.
func (l *loop) expel(c *Conn, kind ErrorKind, cause error) {
	if c.stage == stageClosed {
		return
	}
	c.ep.cell.errors[kind].inc()
	l.destroy(c, c.error("close", cause))
	l.leave()
}
