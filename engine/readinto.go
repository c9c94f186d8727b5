package engine

// readInto is a ReadInto under way.
type readInto struct {
	rest []byte      // what is still to be filled
	done func(*Conn) // nil if there is none
}

// ReadInto has the next len(p) bytes go into p: those that have arrived already
// are copied and consumed, the others come from the kernel without another
// copy. When p is full and the present callback has returned, done is called as a
// callback is, and p is the caller's again; OnData follows for what came after.
// Until then there is no OnData, and nothing to Peek. If the connection ends
// first, done is not called: p is the caller's again in OnClose. done may call
// ReadInto again; a function that is kept somewhere costs no allocation.
func (c *Conn) ReadInto(p []byte, done func(c *Conn)) {
	if done == nil {
		done = func(*Conn) {}
	}
	c.needExtras().into = readInto{p, done}
	c.mark()
	c.loop.markDirty(c)
}

// settleInto has the handler told of a ReadInto that found all it wants among
// what had arrived, outside of OnData.
func (l *loop) settleInto(c *Conn) {
	if c.extra.into.done != nil && c.fillInto() && c.mayBeTold() && !c.wantData {
		c.wantData = true
		l.runAgain(c)
	}
}

// fillInto moves what has arrived to where ReadInto wants it, and reports
// whether there is a ReadInto that has all.
func (c *Conn) fillInto() (full bool) {
	into := &c.extra.into
	if c.unread() > 0 {
		n := copy(into.rest, c.buf.in.bytes())
		into.rest = into.rest[n:]
		c.Discard(n)
	}
	return into.done != nil && len(into.rest) == 0
}

// serveInto reads once, into what ReadInto was given and, to save the next
// call, beyond it into the scratch.
func (l *loop) serveInto(c *Conn) {
	rest := c.extra.into.rest
	if len(rest) == 0 {
		l.tellData(c) // a pause had it wait
		return
	}
	rest = rest[:min(len(rest), l.limits.readChunk)]
	if c.buf == nil {
		c.buf = l.lend(c)
	}
	beyond := c.buf.in.room(carryMax)
	n, e := readTwo(c.fd, rest, beyond)
	switch {
	case n > 0:
		c.moved = l.now
		l.received(c, n)
		taken := min(n, len(rest))
		c.extra.into.rest = c.extra.into.rest[taken:]
		c.buf.in.fill(n - taken)
		c.tapped(Inbound, rest[:taken])
		c.tapped(Inbound, beyond[:n-taken])
		l.tellData(c)
	case e == 0:
		c.eof = true
		l.tell(c, onReadEOF)
	case !notReady(e):
		c.ep.cell.errors[ErrorRead].inc()
		c.fail(c.error("read", e))
	}
}

// tellData calls OnData for what has arrived, unless ReadInto wants it.
func (l *loop) tellData(c *Conn) {
	if c.unread() > 0 && (c.extra == nil || c.extra.into.done == nil) {
		l.tell(c, onData)
	}
	if c.special {
		l.tellFilled(c)
		l.tellEOF(c)
	}
}

// tellFilled calls what ReadInto was given if it has all that it wants, then
// OnData for the rest, and so on while that leads to another such ReadInto.
func (l *loop) tellFilled(c *Conn) {
	for c.mayBeTold() && c.fillInto() {
		l.tell(c, onFilled)
		if c.unread() > 0 && c.mayBeTold() && c.extra.into.done == nil {
			l.tell(c, onData)
		}
	}
}

// mayBeTold reports whether the handler wants data.
func (c *Conn) mayBeTold() bool {
	return c.open() && !c.broken && c.pause&^pausedByInput == 0
}

// hasNews reports whether there is something that the handler was not told of
// while it had reading paused.
func (c *Conn) hasNews() bool {
	if c.unread() > 0 || !c.special {
		return c.unread() > 0
	}
	x := c.extra
	return x.eofDue || x.into.done != nil && len(x.into.rest) == 0
}

func onFilled(_ Handler, c *Conn) {
	done := c.extra.into.done
	c.extra.into = readInto{}
	c.mark()
	done(c)
}
