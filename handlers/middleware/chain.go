package middleware

import (
	"slices"

	"github.com/nsreactor/nsreactor/engine"
)

// Middleware makes a handler that stands around another. The Wrap of this package's
// types is one.
type Middleware func(engine.Handler) engine.Handler

// Chain is h with middleware around it, the first of them outermost.
func Chain(h engine.Handler, around ...Middleware) engine.Handler {
	for _, wrap := range slices.Backward(around) {
		h = wrap(h)
	}
	return h
}

// Base is for a middleware to embed: it passes every callback on to the Handler inside. A
// method of the middleware's own that takes the place of one here calls it in the end, or
// Refuse. A Base must not be copied once it has served a connection.
type Base struct{ engine.Handler }

// Unwrap is the handler inside; it makes a middleware an [engine.Wrapper].
func (b *Base) Unwrap() engine.Handler { return b.Handler }

// shut is what a Base or Gate knows of a connection that its handler is not told of. It is
// the connection's value under the *Base.
type shut struct {
	opened     bool // it is told now, but for the end that follows
	eof, drain bool // have come meanwhile
}

func (b *Base) shut(c *engine.Conn) *shut {
	s, _ := c.Value(b).(*shut)
	return s
}

// Refuse ends a connection in OnOpen, which is not passed on: the handler inside never
// hears of it. The peer gets a reset, and the middleware around it the reason.
func (b *Base) Refuse(c *engine.Conn, reason error) {
	c.SetValue(b, new(shut))
	c.Fail(reason)
}

// RefuseWith is Refuse with a last word, after which the connection is closed in order:
// that may take as long as Config.LingerTimeout. Without a last word it is Refuse.
func (b *Base) RefuseWith(c *engine.Conn, reply []byte, reason error) {
	if len(reply) == 0 {
		b.Refuse(c, reason)
		return
	}
	c.SetValue(b, new(shut))
	_, _ = c.Write(reply) // if it can't be sent, the connection ends anyway
	c.CloseWith(reason)
}

// OnClose is passed on, unless OnOpen was kept from the handler. For a connection that has
// failed before OnOpen it is the first callback, and the only one.
func (b *Base) OnClose(c *engine.Conn, err error) {
	if s := b.shut(c); s == nil || s.opened {
		b.Handler.OnClose(c, err)
	}
}

// Gate is a Base for a middleware that has something to settle with the peer first: a
// header to read, a password to ask for. From Wait on, in OnOpen, nothing is passed on;
// from Open on, everything. In between the middleware's own OnData sees what arrives, and
// what it doesn't consume is the handler's.
//
// A peer may send its last, or its namespace be drained, while Wait lasts: both are kept for
// the handler, and if nothing leads to Open any more they are the middleware's own to answer,
// in its OnReadEOF and OnDrain. Otherwise the connection stays for as long as a timeout lets it.
type Gate struct{ Base }

// Wait begins to keep a connection from the handler.
func (g *Gate) Wait(c *engine.Conn) { c.SetValue(&g.Base, new(shut)) }

// Waiting reports whether a connection is being kept from the handler.
func (g *Gate) Waiting(c *engine.Conn) bool {
	s := g.shut(c)
	return s != nil && !s.opened
}

// Open ends Wait: the handler gets OnOpen, OnData for what is unread, and what else has
// come meanwhile. It belongs to the connection's callbacks.
func (g *Gate) Open(c *engine.Conn) {
	s := g.shut(c)
	if s == nil || s.opened || c.Ending() {
		return
	}
	s.opened = true
	g.Unwrap().OnOpen(c)
	if c.Buffered() > 0 && c.Proceed() {
		g.Handler.OnData(c)
	}
	g.passEnd(c, s)
	if s.drain && !c.Ending() {
		g.Handler.OnDrain(c)
	}
}

// passEnd passes on an end that came before Open, but not while the handler, having paused,
// has not seen what came before the end.
func (g *Gate) passEnd(c *engine.Conn, s *shut) {
	if c.Ending() || c.Paused() && c.Buffered() > 0 {
		return
	}
	c.SetValue(&g.Base, nil)
	if s.eof {
		g.Handler.OnReadEOF(c)
	}
}

// OnData is passed on after Open.
func (g *Gate) OnData(c *engine.Conn) {
	s := g.shut(c)
	if s != nil && !s.opened {
		return
	}
	g.Handler.OnData(c)
	if s != nil {
		g.passEnd(c, s)
	}
}

// OnReadEOF is passed on, or waits for Open.
func (g *Gate) OnReadEOF(c *engine.Conn) {
	if s := g.shut(c); s != nil {
		s.eof = true
		if s.opened {
			g.passEnd(c, s)
		}
		return
	}
	g.Handler.OnReadEOF(c)
}

// OnDrain is passed on, or waits for Open.
func (g *Gate) OnDrain(c *engine.Conn) {
	if s := g.shut(c); s != nil && !s.opened {
		s.drain = true
		return
	}
	g.Handler.OnDrain(c)
}

// OnWritable is passed on after Open.
func (g *Gate) OnWritable(c *engine.Conn) {
	if !g.Waiting(c) {
		g.Handler.OnWritable(c)
	}
}

// OnWake is passed on after Open.
func (g *Gate) OnWake(c *engine.Conn) {
	if !g.Waiting(c) {
		g.Handler.OnWake(c)
	}
}

// OnTimer is passed on after Open.
func (g *Gate) OnTimer(c *engine.Conn) {
	if !g.Waiting(c) {
		g.Handler.OnTimer(c)
	}
}
