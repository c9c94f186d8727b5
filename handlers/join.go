package handlers

import (
	"errors"

	"github.com/nsreactor/nsreactor/engine"
)

// ErrJoin is a Join of connections that can't be joined.
var ErrJoin = errors.New("connections can't be joined")

// joint is a joined connection's view of the other one.
type joint struct {
	peer *engine.Conn // nil when the two go separate ways
	eof  bool         // the connection's own peer has sent its last
}

// jointKey is what a joint is kept under.
var jointKey = new(byte)

func jointOf(c *engine.Conn) *joint {
	j, _ := c.Value(jointKey).(*joint)
	return j
}

// Join has two connections carry each other's bytes, from what has arrived and is
// unread on, until both peers have sent their last. A connection is not read
// while the other one has more unsent than the high-water mark; an end of file is
// passed on as one, and a connection that ends with an error, or without the
// other one's having ended, takes the other one with it: by a reset if it was an
// error.
//
// Both live on one loop, as those do of which one has dialed the other
// ([engine.Conn.Dial]), and their callbacks, from which Join is called, lead to a
// [Joined]. One may still be connecting: what arrives on the other is held for
// it meanwhile, up to the high-water mark. The error is an [ErrJoin].
func Join(a, b *engine.Conn) error {
	if a == b || a.Loop() != b.Loop() || jointOf(a) != nil || jointOf(b) != nil {
		return ErrJoin
	}
	a.SetValue(jointKey, &joint{peer: b})
	b.SetValue(jointKey, &joint{peer: a})
	a.KeepReading(true)
	b.KeepReading(true)
	pump(a, b)
	pump(b, a)
	return nil
}

// Joined is the handler of joined connections. A handler that joins some of its
// connections calls its callbacks for those. It needs no namespace.
//
// OnDrain leaves a pair alone, since an orderly end in the middle would look
// to both peers as if they had everything: what has not ended by itself when the
// drain's time is up is reset.
type Joined struct{}

var _ engine.Handler = Joined{}

// OnOpen does nothing.
func (Joined) OnOpen(*engine.Conn) {}

// OnData passes on what has arrived.
func (Joined) OnData(c *engine.Conn) {
	if j := jointOf(c); j != nil && j.peer != nil {
		pump(c, j.peer)
	}
}

// OnReadEOF passes the end on; the second of a pair is the end of both.
func (Joined) OnReadEOF(c *engine.Conn) {
	j := jointOf(c)
	if j == nil || j.peer == nil {
		c.Close()
		return
	}
	j.eof = true
	peer := j.peer
	other := jointOf(peer)
	if !other.eof {
		peer.CloseWrite()
		return
	}
	j.peer, other.peer = nil, nil // what is unsent goes out, whatever becomes of the other
	c.Close()
	peer.Close()
}

// OnWritable has the other connection read again.
func (Joined) OnWritable(c *engine.Conn) {
	if j := jointOf(c); j != nil && j.peer != nil {
		j.peer.Resume()
	}
}

// OnWake does nothing.
func (Joined) OnWake(*engine.Conn) {}

// OnTimer does nothing.
func (Joined) OnTimer(*engine.Conn) {}

// OnDrain does nothing.
func (Joined) OnDrain(*engine.Conn) {}

// OnClose ends the other connection: by a reset, with the same error, if there was
// one.
func (Joined) OnClose(c *engine.Conn, err error) {
	j := jointOf(c)
	if j == nil || j.peer == nil {
		return
	}
	peer := j.peer
	j.peer, jointOf(peer).peer = nil, nil
	if err != nil {
		peer.Fail(err)
		return
	}
	peer.Close()
}

// pump moves what has arrived on one connection to the other, and has it wait if
// that is too much. Either all is moved or the connection is paused, so that its
// end of file is never told before its last byte is moved.
func pump(from, to *engine.Conn) {
	if from.Buffered() == 0 || from.Paused() {
		return
	}
	b, _ := from.Peek(-1) // which never fails
	if _, err := to.Write(b); err != nil {
		from.Fail(err)
		return
	}
	from.Discard(len(b))
	if to.Congested() {
		from.Pause()
	}
}
