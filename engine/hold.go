package engine

// Hold stops reading as Pause does, for a handler that wraps another: neither knows of
// the other's pause, and the connection is read when both are over. It belongs to the
// connection's callbacks.
func (c *Conn) Hold() {
	c.pause |= pausedByOuter
	c.loop.markDirty(c)
}

// Release ends a Hold. If bytes were left unread, OnData is called for them within the
// same or the next turn of the loop.
func (c *Conn) Release() {
	c.unpause(pausedByOuter)
}

// Held reports whether a Hold has not been followed by a Release.
func (c *Conn) Held() bool { return c.pause&pausedByOuter != 0 }

// unpause takes one reason not to read away.
func (c *Conn) unpause(reason pauseReason) {
	if c.pause&reason == 0 {
		return
	}
	c.pause &^= reason
	if c.hasNews() {
		c.wantData = true
		c.loop.runAgain(c)
	}
	c.loop.markDirty(c)
}

// Ending reports whether the connection is closed, closing or about to be: its handler is
// told nothing more but OnClose.
func (c *Conn) Ending() bool { return !c.open() || c.broken }
