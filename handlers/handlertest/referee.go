package handlertest

import (
	"errors"
	"net/netip"
	"runtime/debug"

	"github.com/nsreactor/nsreactor/engine"
)

// referee stands before a handler and watches the order of its callbacks, as
// engine.Handler promises it. It also finds out which engine.Conn a client talks to:
// each has an address of its own.
type referee struct {
	engine.Handler
	loop  *Loop
	lives map[netip.AddrPort]*life // by the client's address
	dial  *life                    // instead of lives: the connection is dialed
}

// life is what a connection's callbacks have seen.
type life struct {
	client *Conn // nil before an address that was dialed is known
	opened bool
	eof    bool
	closed bool
}

// life is the connection's, and name is the callback that it gets.
func (r *referee) life(c *engine.Conn, name string) *life {
	r.loop.t.Helper()
	peer := c.RemoteAddr()
	l := r.dial
	if l == nil {
		l = r.lives[peer]
	}
	switch {
	case l.closed:
		r.loop.t.Errorf("handlertest: %v: %s came after OnClose", peer, name)
	case name == "OnOpen" && l.opened:
		r.loop.t.Errorf("handlertest: %v: OnOpen came twice", peer)
	case name != "OnOpen" && name != "OnClose" && !l.opened:
		r.loop.t.Errorf("handlertest: %v: %s came before OnOpen", peer, name)
	case name == "OnReadEOF" && l.eof, name == "OnData" && l.eof && c.Buffered() == 0:
		r.loop.t.Errorf("handlertest: %v: %s came after OnReadEOF", peer, name)
	}
	return l
}

func (r *referee) OnOpen(c *engine.Conn) {
	l := r.life(c, "OnOpen")
	l.opened = true
	if r.dial != nil {
		l.client = r.loop.dialedFrom(c.LocalAddr())
	}
	l.client.server = c
	r.Handler.OnOpen(c)
}

func (r *referee) OnData(c *engine.Conn) {
	r.life(c, "OnData")
	r.Handler.OnData(c)
}

func (r *referee) OnReadEOF(c *engine.Conn) {
	r.life(c, "OnReadEOF").eof = true
	r.Handler.OnReadEOF(c)
}

func (r *referee) OnWritable(c *engine.Conn) {
	r.life(c, "OnWritable")
	r.Handler.OnWritable(c)
}

func (r *referee) OnWake(c *engine.Conn) {
	r.life(c, "OnWake")
	r.Handler.OnWake(c)
}

func (r *referee) OnTimer(c *engine.Conn) {
	r.life(c, "OnTimer")
	r.Handler.OnTimer(c)
}

func (r *referee) OnDrain(c *engine.Conn) {
	r.life(c, "OnDrain")
	r.Handler.OnDrain(c)
}

// OnClose also tells of the panic that has ended the connection, and of its own, which
// the engine can only log.
func (r *referee) OnClose(c *engine.Conn, err error) {
	l := r.life(c, "OnClose")
	l.closed = true
	if l.client != nil {
		l.client.ended, l.client.err, l.client.server = true, err, nil
	}
	if p, is := errors.AsType[*engine.PanicError](err); is {
		r.panicked(c, p.Value, p.Stack)
	}
	defer func() {
		if value := recover(); value != nil {
			r.panicked(c, value, debug.Stack())
			panic(value)
		}
		if r.loop.sim.Holds(c) {
			r.loop.t.Errorf("handlertest: %v: OnClose has left bytes in the connection's buffers", c.RemoteAddr())
		}
	}()
	r.Handler.OnClose(c, err)
}

func (r *referee) panicked(c *engine.Conn, value any, stack []byte) {
	r.loop.t.Helper()
	if !r.loop.panics {
		r.loop.t.Errorf("handlertest: %v: the handler panicked: %v\n%s", c.RemoteAddr(), value, stack)
	}
}
