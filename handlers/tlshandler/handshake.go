package tlshandler

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/nsreactor/nsreactor/engine"
)

// enter begins the handshake, or waits for it with reading paused.
func (s *session) enter() {
	if s.h.gate.enter(s) {
		s.shake()
		return
	}
	s.stage = waiting
	s.conn.Pause()
}

// admitted is the gate's word to one that has waited. Any goroutine may call it.
func (s *session) admitted() {
	begin := func(c *engine.Conn) {
		if s.stage != waiting {
			s.h.gate.leave(s)
			return
		}
		c.Resume()
		s.shake()
	}
	if !s.conn.Call(begin) {
		s.h.gate.leave(s)
	}
}

// shake starts the handshake's goroutine.
func (s *session) shake() {
	s.stage = shaking
	s.tls = s.h.newConn(s)
	ctx, cancel := context.WithCancel(context.Background())
	s.bridge.feed.cancel = cancel
	go func() {
		defer cancel()
		s.handshake(ctx)
	}()
}

// handshake is what the goroutine does. The user's callbacks run in it: a panic of
// theirs costs the connection, no more.
func (s *session) handshake(ctx context.Context) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = &engine.PanicError{Value: recovered(recover()), Stack: debug.Stack()}
		}
		s.h.gate.leave(s)
		s.conn.Call(func(c *engine.Conn) { s.shaken(c, err) })
	}()
	err = s.tls.HandshakeContext(ctx)
	if s.refusal != nil {
		err = s.refusal
	}
	returned = true
}

func recovered(value any) any {
	if value == nil {
		return "runtime.Goexit was called"
	}
	return value
}

// shaken is what follows the handshake, on the loop.
func (s *session) shaken(c *engine.Conn, err error) {
	if s.stage != shaking {
		return
	}
	w := c.Wire()
	s.limit.Stop()
	s.limit = nil
	if err != nil {
		s.fail(w, err)
		return
	}
	s.bridge.takeOver()
	c.Resume()
	state := s.tls.ConnectionState()
	inner := s.h.handlerFor(state.NegotiatedProtocol)
	if inner == nil {
		s.fail(w, fmt.Errorf("%w %q", ErrNoHandler, state.NegotiatedProtocol))
		return
	}
	s.stage, s.inner = open, inner
	s.h.count(state.DidResume)
	s.open(w)
}

// open gives the connection to its handler, then what has come with the last of
// the handshake.
func (s *session) open(w *engine.Wire) {
	if err := s.Flush(w); err != nil {
		s.fail(w, err)
		return
	}
	s.inner.OnOpen(s.conn)
	if s.woken && w.Open() {
		s.inner.OnWake(s.conn)
	}
	if s.draining && w.Open() {
		s.inner.OnDrain(s.conn)
	}
	s.decrypt(w)
	if s.ended && w.Open() {
		s.endInput(w)
	}
}

// timeout is the end of a handshake that takes too long.
func (s *session) timeout(c *engine.Conn) {
	if s.stage < open {
		s.stage = failed
		c.Wire().Fail(s.failure(ErrHandshakeTimeout))
	}
}

// drain lets a handshake that is under way finish, so that the handler can. A
// client that has not begun is turned away.
func (s *session) drain() {
	s.draining = true
	if s.stage == greeting {
		s.stage = failed
		s.conn.Close()
	}
}

// close counts a connection that ended before it was open for a reason that is
// not the handshake's.
func (s *session) close(err error) {
	switch {
	case s.counted:
	case err == nil:
		s.countFailed(ReasonClosed)
	default:
		s.countFailed(reasonOf(err))
	}
}

var (
	errTruncated  = fmt.Errorf("no close_notify before the end: %w", io.ErrUnexpectedEOF)
	errUnfinished = fmt.Errorf("before the handshake was done: %w", engine.ErrClosed)
)
