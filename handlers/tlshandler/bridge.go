package tlshandler

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// bridge is the net.Conn below a tls.Conn. During the handshake it belongs to the
// handshake's goroutine, whose reads wait for the feed; after it to the loop, and
// nothing waits.
type bridge struct {
	session *session
	feed    *feed  // nil after the handshake
	arrived []byte // after it: what came with its last
	silent  bool   // our half is shut down, nothing may be written any more
}

// takeOver makes the bridge the loop's. The goroutine is through with it.
func (b *bridge) takeOver() { b.arrived, b.feed = b.feed.bytes, nil }

// Read is crypto/tls's.
func (b *bridge) Read(p []byte) (int, error) {
	if b.feed != nil {
		c := b.session.conn
		return b.feed.read(p, func() { c.Call((*engine.Conn).Resume) })
	}
	if len(b.arrived) > 0 {
		n := copy(p, b.arrived)
		b.arrived = b.arrived[n:]
		return n, nil
	}
	return b.pull(p)
}

// pull reads from the wire, straight into where crypto/tls decrypts. That the wire
// has ended is for the session to judge.
func (b *bridge) pull(p []byte) (int, error) {
	s := b.session
	n, err := s.conn.Wire().Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		s.ended = true
		return 0, errNotNow
	case errors.Is(err, engine.ErrNotReady):
		return 0, errNotNow
	}
	return 0, err
}

// Write is crypto/tls's.
func (b *bridge) Write(p []byte) (int, error) {
	c := b.session.conn
	switch {
	case b.feed != nil:
		record := bytes.Clone(p)
		// An error is the end of the connection, of which the loop says more.
		if !c.Call(func(c *engine.Conn) { _, _ = c.Wire().Write(record) }) {
			return 0, engine.ErrStopped
		}
		return len(p), nil
	case b.silent:
		return len(p), nil
	}
	return c.Wire().Write(p)
}

// Close does nothing: it is the engine that closes.
func (*bridge) Close() error { return nil }

// LocalAddr is nothing that crypto/tls asks for, and the engine tells it on the
// loop only.
func (*bridge) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is the peer's.
func (b *bridge) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(b.session.conn.RemoteAddr()) }

// SetDeadline does nothing: the handshake's timer is the loop's, and after it
// nothing waits.
func (*bridge) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*bridge) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*bridge) SetWriteDeadline(time.Time) error { return nil }

// notNow is the error of a read that would have to wait. That it is temporary has
// crypto/tls keep what it has and try again with the next Read.
type notNow struct{}

var errNotNow error = notNow{}

func (notNow) Error() string   { return "nothing more has arrived" }
func (notNow) Timeout() bool   { return true }
func (notNow) Temporary() bool { return true }
