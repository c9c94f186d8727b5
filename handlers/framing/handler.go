package framing

import (
	"fmt"

	"github.com/nsreactor/nsreactor/engine"
)

// Handler is an [engine.Handler] that is called with whole messages in place of
// OnData.
type Handler[T any] interface {
	engine.Handler
	// OnMessage is called with each message, in order. The message is valid
	// until OnMessage returns; it has been consumed, and what Peek shows is
	// what came after it. No more messages are delivered after a Close or Fail,
	// while the connection is paused or waits for a ReadInto, and while more
	// than Config.WriteHighWater bytes are unsent; they come when that is over.
	//
	// An error ends the connection: OnClose gets it, in an [*engine.Error].
	OnMessage(c *engine.Conn, m T) error
}

// OnMessage is a Handler that consists of the one function.
func OnMessage[T any](f func(c *engine.Conn, m T) error) Handler[T] {
	return messageFunc[T]{call: f}
}

type messageFunc[T any] struct {
	engine.BaseHandler
	call func(c *engine.Conn, m T) error
}

func (f messageFunc[T]) OnMessage(c *engine.Conn, m T) error { return f.call(c, m) }

// Framer is the [engine.Handler] that New makes. All callbacks but OnData are
// passed on. OnReadEOF is so only when the peer's last message is complete;
// otherwise the connection ends with [ErrTruncated].
type Framer[T any] struct {
	inner[T]
	decoder cutter[T]
	filled  func(*engine.Conn) // onFilled, bound once: a ReadInto then costs no allocation
	counts  counts
}

type inner[T any] interface{ Handler[T] }

// New makes a handler that cuts the bytes of its connections into messages with
// d, and passes them to h. A decoder with impossible settings is an
// [ErrBadDecoder], a nil h an [engine.ErrBadHandle].
//
// The result may serve any number of ports, and be wrapped by handlers that
// pass all callbacks on.
func New[T any](d Decoder[T], h Handler[T]) (*Framer[T], error) {
	if h == nil {
		return nil, fmt.Errorf("framing: %w: nil handler", engine.ErrBadHandle)
	}
	decoder := newCutter(d)
	if err := decoder.validate(); err != nil {
		return nil, err
	}
	f := &Framer[T]{inner: h, decoder: decoder}
	f.filled = f.onFilled
	return f, nil
}

// SetDecoder has the connection's messages found by d from the next one on: its
// protocol has come to another phase. It belongs to the connection's callbacks.
// A decoder with impossible settings is an [ErrBadDecoder], and changes
// nothing.
func (f *Framer[T]) SetDecoder(c *engine.Conn, d Decoder[T]) error {
	decoder := newCutter(d)
	if err := decoder.validate(); err != nil {
		return err
	}
	s := f.needState(c)
	s.decoder, s.seen = &decoder, 0
	return nil
}

// OnData delivers the messages that have arrived.
func (f *Framer[T]) OnData(c *engine.Conn) {
	f.deliver(c)
	if s := f.state(c); s != nil && s.eof {
		f.OnReadEOF(c)
	}
}

// deliver takes messages from what has arrived until one is not whole or the
// handler wants no more.
func (f *Framer[T]) deliver(c *engine.Conn) {
	for c.Proceed() {
		b, _ := c.Peek(-1) // all there is can't be too short
		if len(b) == 0 {
			return
		}
		d, seen := f.resume(c)
		m, n, err := d.cut(b, seen)
		switch {
		case err != nil:
			c.Fail(err)
			return
		case n > len(b):
			f.await(c, d, b, n)
			return
		}
		c.Discard(n)
		if err := f.OnMessage(c, m); err != nil {
			c.Fail(err)
			return
		}
	}
}

// OnReadEOF passes the end of file on, when the messages before it are
// delivered and if none is cut short by it.
func (f *Framer[T]) OnReadEOF(c *engine.Conn) {
	if c.Buffered() > 0 {
		f.deliver(c)
	}
	s := f.state(c)
	switch {
	case s.receiving() || c.Buffered() > 0 && c.Proceed():
		c.Fail(truncated())
	case c.Buffered() > 0:
		f.needState(c).eof = true // OnData comes again
	default:
		if s != nil {
			s.eof = false
		}
		f.inner.OnReadEOF(c)
	}
}

// OnClose frees what was to become a message, counts what was wrong, and passes the
// end on.
func (f *Framer[T]) OnClose(c *engine.Conn, err error) {
	if s := f.state(c); s.receiving() {
		s.free()
	}
	if err != nil {
		f.counts.count(err)
	}
	f.inner.OnClose(c, err)
}
