package engine

import (
	"bytes"
	"net"
)

// Detach takes the connection off its loop and returns it as a [*NetConn], for
// goroutines to serve: what the handler has not consumed is what Read gives first,
// what was written and not sent goes out before all else, and the peer notices
// nothing. When the present callback returns the handler gets OnClose with an
// [ErrDetached], to free what it holds; the Conn then answers ErrClosed as after any
// end. Deadlines, timers and options set by Control do not go along.
//
// On an error the connection stays as it is: [ErrClosed] if it is closed or closing,
// [ErrNotDetachable], or a lack of descriptors.
func (c *Conn) Detach() (net.Conn, error) {
	if !c.open() || c.broken {
		return nil, c.error("detach", ErrClosed)
	}
	if x := c.extra; x != nil && (x.filter != nil || x.into.done != nil) || c.loop.eng.sim != nil {
		return nil, c.error("detach", ErrNotDetachable)
	}
	if c.Unsent() > 0 && !c.blocked {
		c.flush()
		if c.broken {
			return nil, c.failed
		}
	}
	guest, err := c.loop.guestOf(c)
	if err != nil {
		return nil, c.error("detach", err)
	}
	guest.early = c.takeEarly()
	c.loop.letGo(c)
	if len(guest.early.unsent) > 0 || guest.early.fin {
		go func() { _ = guest.sendEarly() }() // whoever uses the connection learns of an error
	}
	return guest, nil
}

// guestOf makes a guest of a connection's socket, which the connection keeps if that
// fails.
func (l *loop) guestOf(c *Conn) (*NetConn, error) {
	fd, err := duplicate(c.fd)
	if err != nil {
		return nil, describeDescriptors(err)
	}
	guest := l.newGuest(c.ep.cell, accepted{fd, c.peer})
	if err := guest.open(); err != nil {
		guest.abandon()
		setNonblock(c.fd) // the two descriptors share that
		return nil, describeDescriptors(err)
	}
	return guest, nil
}

// takeEarly copies what the connection holds.
func (c *Conn) takeEarly() *early {
	e := &early{fin: c.finWanted && !c.finSent}
	if c.buf != nil {
		e.unread, e.unsent = bytes.Clone(c.buf.in.bytes()), bytes.Clone(c.buf.out.bytes())
	}
	return e
}

// letGo ends a connection without ending its socket. OnClose comes when it is
// settled.
func (l *loop) letGo(c *Conn) {
	l.unregister(c)
	l.table.drop(c.token)
	l.timers.remove(&c.timer)
	l.dropBuffers(c)
	l.retire(c)
	c.fail(c.error("detach", ErrDetached))
	l.markDirty(c)
}
