package engine

// traffic is what a connection's own bytes come to.
type traffic struct {
	wanted  bool
	in, out uint64
}

// CountBytes has the connection's bytes counted from now on. By default only those of
// its namespace are.
func (c *Conn) CountBytes() {
	c.needExtras().traffic.wanted = true
	c.mark()
}

// Traffic is how many bytes were read from the connection and sent on it since
// CountBytes, as they are on the wire: with a filter such as TLS, what it makes of the
// handler's. It is still there in OnClose.
func (c *Conn) Traffic() (in, out uint64) {
	if c.extra == nil {
		return 0, 0
	}
	return c.extra.traffic.in, c.extra.traffic.out
}

// Direction is where bytes go.
type Direction uint8

// The directions.
const (
	Inbound  Direction = iota // from the peer to the handler
	Outbound                  // from the handler to the peer
)

// String is "in" or "out".
func (d Direction) String() string {
	if d == Inbound {
		return "in"
	}
	return "out"
}

// SetTap has f called, on the connection's loop, with all bytes that arrive for the handler,
// before it is told of them, and with all that it writes, when they are queued. It sees the
// handler's side of a filter: what TLS has decrypted. f must not keep p, nor change
// it. nil takes the tap away.
func (c *Conn) SetTap(f func(c *Conn, d Direction, p []byte)) {
	c.needExtras().tap = f
	c.mark()
}

// tapped shows bytes to the tap. A panic in it is the handler's.
func (c *Conn) tapped(d Direction, p []byte) {
	tap := c.extra.tap
	if tap == nil || len(p) == 0 {
		return
	}
	running := c.loop.running
	c.loop.running = c
	if running != c {
		defer c.loop.contain(c, running)
	}
	tap(c, d, p)
	c.loop.running = running
}

// received counts what was read from a connection.
func (l *loop) received(c *Conn, n int) {
	l.countIn(c.ep, n)
	if c.special {
		c.extra.traffic.in += uint64(n)
	}
}
