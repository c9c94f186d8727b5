package engine

// Flush sends what was written, as far as the kernel takes it, without waiting
// for the callback to return: for a callback that goes on for long, or that
// wants [Conn.Unsent] to be what the kernel has not taken. What is left goes
// out when the peer makes room. The error is that of the connection, which then
// ends when the callback returns.
func (c *Conn) Flush() error {
	if c.stage == stageClosed {
		return c.error("flush", ErrClosed)
	}
	if c.special {
		c.loop.flushFilter(c)
	}
	if !c.broken && !c.blocked && c.Unsent() > 0 {
		c.flush()
		c.loop.markDirty(c)
	}
	return c.failed
}
