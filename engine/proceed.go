package engine

// Proceed reports whether a handler that has more to do with what has arrived
// should do it now. One that answers several messages in one OnData asks
// between them, and returns if not: the connection is closed or closing, it is
// paused, a ReadInto is under way, more than Config.WriteHighWater bytes are
// unsent though the kernel was offered them, or the connection has had its share of
// the turn (see Yield). When that is over, OnData comes again for what was left unread.
func (c *Conn) Proceed() bool {
	if !c.mayBeTold() || c.readingInto() || c.congested() {
		return false
	}
	if !c.Yield() {
		return true
	}
	c.wantData = c.wantData || c.unread() > 0
	return false
}

// Yield reports whether the connection has had its share of the turn: it has sent
// Config.WriteBudget bytes or more. If so, OnWritable is called in the next turn. It
// is for a handler that fetches much of what it writes from elsewhere, and asks
// between the pieces, as it asks Congested.
func (c *Conn) Yield() bool {
	if c.stage != stageOpen || !c.overspent() {
		return false
	}
	if !c.wantSpace {
		c.wantSpace = true
		c.loop.runAgain(c)
	}
	return true
}

// spend counts what a connection has sent in the present turn. Its callbacks follow
// each other closely, so that one count does for all of the loop's.
func (l *loop) spend(c *Conn, n int) {
	if l.spender != c {
		l.spender, l.spent = c, 0
	}
	l.spent += n
}

func (c *Conn) overspent() bool {
	l := c.loop
	return l.spender == c && l.spent >= l.eng.cfg.WriteBudget
}

func (c *Conn) readingInto() bool { return c.special && c.extra.into.done != nil }

// congested reports whether reading is about to stop for what is unsent.
func (c *Conn) congested() bool {
	high := c.loop.eng.cfg.WriteHighWater
	if c.Unsent() <= high {
		return false
	}
	if !c.blocked {
		c.flush()
	}
	return c.broken || c.Unsent() > high
}

// InputFull reports whether no more is read since Config.ReadBufferMax bytes
// are unread: a handler that waits for more before it consumes any waits in
// vain. It can still have ReadInto take them, and more.
func (c *Conn) InputFull() bool { return c.unread() >= c.loop.limits.readMax }
