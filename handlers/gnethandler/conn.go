package gnethandler

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
)

// conn is an engine's connection as a gnet.Conn. What gnet declares safe from
// any goroutine is so here; all else belongs to the loop.
type conn struct {
	noDeadlines

	// What every message touches lies in one cache line.
	ec     *engine.Conn
	h      *Handler
	events gnet.EventHandler
	ctx    any
	left   int  // bytes that the handler was told of and has not consumed
	opened bool // OnClose is still to come
	cut    bool // a write failed: an orderly end would hide the hole

	socket
	local netip.AddrPort
	// The addresses as gnet wants them, made when first asked for.
	localAddr, remoteAddr atomic.Pointer[net.TCPAddr]
	unix                  *unixAddrs // instead, of a unix socket
}

var _ gnet.Conn = (*conn)(nil)

func newConn(h *Handler, ec *engine.Conn) *conn {
	c := &conn{ec: ec, h: h, events: h.events, opened: true, local: ec.LocalAddr()}
	c.borrow(ec.Control)
	if ec.Network() == "unix" {
		c.unix = c.unixAddrs()
		c.noKeepAlive = true
	}
	return c
}

// connOf is the gnet.Conn of an engine's connection; nil if it has none.
func connOf(ec *engine.Conn) *conn {
	c, _ := ec.Context().(*conn)
	return c
}

// traffic is one OnTraffic.
func (c *conn) traffic() gnet.Action {
	action := c.events.OnTraffic(c)
	c.left = c.ec.Buffered()
	return action
}

// act does what a callback has answered.
func (c *conn) act(action gnet.Action) {
	switch action {
	case gnet.Close:
		c.end(nil)
	case gnet.Shutdown:
		c.h.shutdown()
		c.end(nil)
	}
}

// end closes the connection: OnClose first, which may still read what is left
// and write, then an orderly end after the unsent bytes are out, or a reset if
// a write has failed or SetLinger has asked for one.
func (c *conn) end(err error) {
	if !c.opened {
		return
	}
	c.tellClosed(err)
	c.ec.Discard(c.ec.Buffered()) // a handler that loops until nothing is left stops
	if c.cut || c.endsInReset() {
		c.ec.CloseNow()
	}
	c.ec.Close() // also after CloseNow: from now on writes fail
}

// tellClosed is OnClose.
func (c *conn) tellClosed(err error) {
	if !c.opened {
		return
	}
	c.opened = false
	action := c.events.OnClose(c, err)
	c.ctx = nil
	if action == gnet.Shutdown {
		c.h.shutdown()
	}
}

// Context is what SetContext kept; nil after OnClose.
func (c *conn) Context() any { return c.ctx }

// SetContext keeps something of the handler's with the connection.
func (c *conn) SetContext(ctx any) { c.ctx = ctx }

// LocalAddr is the connection's own address, where gnet has the listener's.
// Any goroutine may call it, also after OnClose.
func (c *conn) LocalAddr() net.Addr {
	if c.unix != nil {
		return &c.unix.local
	}
	return tcpAddr(&c.localAddr, c.local)
}

// RemoteAddr is the peer's address. Any goroutine may call it, also after
// OnClose.
func (c *conn) RemoteAddr() net.Addr {
	if c.unix != nil {
		return &c.unix.remote
	}
	return tcpAddr(&c.remoteAddr, c.ec.RemoteAddr())
}

// tcpAddr makes an address once.
func tcpAddr(made *atomic.Pointer[net.TCPAddr], addr netip.AddrPort) *net.TCPAddr {
	if made.Load() == nil {
		made.CompareAndSwap(nil, net.TCPAddrFromAddrPort(addr))
	}
	return made.Load()
}
