package engine

// Proceed reports whether a handler that has more to do with what has arrived
// should do it now. One that answers several messages in one OnData asks
// between them, and returns if not: the connection is closed or closing, it is
// paused, a ReadInto is under way, or more than Config.WriteHighWater bytes are
// unsent though the kernel was offered them. When that is over, OnData comes
// again for what was left unread.
func (c *Conn) Proceed() bool { return c.mayBeTold() && !c.readingInto() && !c.congested() }

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
