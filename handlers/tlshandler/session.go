package tlshandler

import (
	"container/list"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/nsreactor/nsreactor/engine"
)

// stage is how far a session is:
//
//	greeting → waiting → shaking → open
//
// and from each of them failed. A client's begins with waiting or shaking.
type stage uint8

const (
	greeting stage = iota // until the ClientHello is complete
	waiting               // for the gate
	shaking               // the handshake's goroutine runs
	open                  // the handler has the connection
	failed                // or closed: nothing more is read or written
)

// maxEarly is how much may be written before the handshake is done, in bytes.
const maxEarly = 1 << 20

// session is a connection's TLS. It is the connection's filter and belongs to the
// connection's loop, but for what its handshake's goroutine uses meanwhile.
type session struct {
	h      *Handler
	conn   *engine.Conn
	inner  engine.Handler // set when open
	tls    *tls.Conn      // set when shaking
	bridge bridge
	stage  stage
	limit  *engine.Timer // nil when open

	ended     bool  // the wire has ended
	inputDone bool  // by a close_notify
	woken     bool  // OnWake came before the handler had the connection
	draining  bool  // so did OnDrain
	counted   bool  // as failed
	refusal   error // the goroutine's: why it has no config

	plain []byte        // to be encrypted when the callback returns, or when open
	place *list.Element // the gate's
}

func newSession(h *Handler, c *engine.Conn) *session {
	s := &session{h: h, conn: c}
	s.bridge = bridge{session: s, feed: newFeed()}
	c.SetValue(sessionKey, s)
	c.SetFilter(s)
	return s
}

// Pull is the filter's, when the connection is open.
func (s *session) Pull(w *engine.Wire) (bool, error) {
	if s.stage != open {
		return false, nil
	}
	s.decrypt(w)
	if s.ended && w.Open() {
		s.endInput(w)
	}
	return true, nil
}

// Input is the filter's, until the connection is open.
func (s *session) Input(w *engine.Wire, arrived []byte) error {
	switch s.stage {
	case greeting:
		s.greet(w, arrived)
	case waiting, shaking:
		if s.bridge.feed.add(arrived) > maxFed {
			s.hold()
		}
	}
	return nil
}

// hold pauses reading until the handshake's goroutine has read what there is.
func (s *session) hold() {
	s.conn.Pause()
	f := s.bridge.feed
	f.change(func() { f.held = true })
}

// greet looks for the end of the ClientHello.
func (s *session) greet(w *engine.Wire, arrived []byte) {
	f := s.bridge.feed
	f.add(arrived)
	switch complete, err := helloComplete(f.bytes); {
	case err != nil:
		s.fail(w, err)
	case complete:
		s.enter()
	}
}

// decrypt passes on the text of all the records that are complete.
func (s *session) decrypt(w *engine.Wire) {
	for !s.inputDone && w.Open() {
		n, err := s.tls.Read(w.Room(1))
		w.Filled(n)
		switch {
		case err == nil:
		case err == errNotNow: //nolint:errorlint // it is crypto/tls's to return as it is
			return
		case errors.Is(err, io.EOF):
			s.inputDone = true
			w.EOF()
		default:
			s.fail(w, err)
			return
		}
	}
}

// InputEOF is the filter's, until the connection is open.
func (s *session) InputEOF(w *engine.Wire) error {
	s.ended = true
	switch s.stage {
	case greeting:
		s.endGreeting(w)
	case waiting, shaking:
		f := s.bridge.feed
		f.change(func() { f.eof = true })
	}
	return nil
}

// endGreeting is the end of a client that gave up, or only came to look whether
// somebody listens, as load balancers do.
func (s *session) endGreeting(w *engine.Wire) {
	if len(s.bridge.feed.bytes) > 0 {
		s.fail(w, io.ErrUnexpectedEOF)
		return
	}
	s.stage = failed
	s.conn.Close()
}

// endInput is the wire's end, which must not come before the peer's
// close_notify.
func (s *session) endInput(w *engine.Wire) {
	if !s.inputDone {
		w.Fail(errTruncated)
	}
}

// Output is the filter's. Small pieces of a callback are put together to fewer
// records, and what is written before the handshake is done waits for it.
func (s *session) Output(w *engine.Wire, p []byte) error {
	if s.stage < open {
		return s.keep(p)
	}
	for len(p) > 0 && s.stage == open {
		n, err := s.write(w, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (s *session) keep(p []byte) error {
	if len(s.plain)+len(p) > maxEarly {
		return fmt.Errorf("before the handshake is done: %w", engine.ErrOverflow)
	}
	s.plain = append(s.plain, p...)
	return nil
}

// write encrypts all that fills records, or else keeps some to fill one up.
func (s *session) write(w *engine.Wire, p []byte) (int, error) {
	if whole := len(p) / maxRecord * maxRecord; len(s.plain) == 0 && whole > 0 {
		return s.tls.Write(p[:whole])
	}
	if s.plain == nil {
		s.plain = takeBuffer()
		w.FlushLater()
	}
	n := min(len(p), maxRecord-len(s.plain))
	s.plain = append(s.plain, p[:n]...)
	if len(s.plain) < maxRecord {
		return n, nil
	}
	return n, s.Flush(w)
}

// Flush is the filter's.
func (s *session) Flush(*engine.Wire) error {
	if s.stage != open || len(s.plain) == 0 {
		return nil
	}
	_, err := s.tls.Write(s.plain)
	s.dropPlain()
	return err
}

func (s *session) dropPlain() {
	giveBuffer(s.plain)
	s.plain = nil
}

// CloseOutput is the filter's: close_notify.
func (s *session) CloseOutput(*engine.Wire) error {
	switch {
	case s.stage == open:
		err := s.tls.CloseWrite()
		s.bridge.silent = true
		return err
	case s.stage < open && len(s.plain) > 0:
		return errUnfinished
	}
	return nil
}

// Closed is the filter's.
func (s *session) Closed(*engine.Wire) {
	s.stage = failed
	s.h.gate.withdraw(s)
	if f := s.bridge.feed; f != nil {
		f.close()
	}
	s.dropPlain()
}

// fail ends the connection in order, behind the alert that crypto/tls has written
// if there is one for it.
func (s *session) fail(w *engine.Wire, err error) {
	s.stage = failed
	if s.inner == nil {
		err = s.failure(err)
	}
	w.CloseWith(err)
}

// failure counts what has ended a handshake, and says what kind it is of.
func (s *session) failure(err error) error {
	reason := reasonOf(err)
	s.countFailed(reason)
	return &HandshakeError{Reason: reason, Err: err}
}

func (s *session) countFailed(reason Reason) {
	if !s.counted {
		s.counted = true
		s.h.failed[reason].Add(1)
	}
}
