package engine

// Congested reports whether more than Config.WriteHighWater bytes are unsent
// though the kernel was offered them. If so, OnWritable follows when half of
// that or less is left. It is for a handler that fetches what it writes from
// elsewhere.
func (c *Conn) Congested() bool {
	if c.stage > stageConnecting || !c.congested() {
		return false
	}
	c.awaitSpace()
	c.loop.markDirty(c)
	return true
}

// KeepReading has the connection read on while it is congested, which the engine
// otherwise takes for a peer that asks without listening to the answers. It is
// for protocols whose two directions are independent, such as a proxy's;
// OnWritable is called as ever, and the handler heeds [Conn.Congested].
func (c *Conn) KeepReading(on bool) {
	c.needExtras().keepReading = on
	if !on || c.pause&pausedByOutput == 0 {
		return
	}
	c.pause &^= pausedByOutput
	c.awaitSpace()
	if c.hasNews() {
		c.wantData = true
		c.loop.runAgain(c)
	}
	c.loop.markDirty(c)
}

// awaitSpace has OnWritable called when there is room again, and reading stop
// until then.
func (c *Conn) awaitSpace() {
	if x := c.extra; x != nil && x.keepReading {
		x.awaitsSpace = true
		c.mark()
		return
	}
	c.pause |= pausedByOutput
}

// settleSpace is the lower of the watermarks for a connection that is read on.
func (l *loop) settleSpace(c *Conn) {
	x := c.extra
	if x.awaitsSpace && c.stage == stageOpen && c.Unsent() <= l.eng.cfg.WriteHighWater/2 {
		x.awaitsSpace = false
		c.mark()
		c.wantSpace = true
		l.runAgain(c)
	}
}
