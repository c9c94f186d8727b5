package handlertest

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/nsreactor/nsreactor/internal/simulate"
)

// socket is a connection as a kernel sees it: the loop has the descriptor, the test
// is the network and the peer. Bytes take no time and nothing is held on their way: what
// the window does not take stays with the writer.
type socket struct {
	local  netip.AddrPort
	moved  *int                         // bytes read and written, of all sockets
	answer func(received []byte) []byte // plays the peer; nil leaves that to the test

	connecting          bool     // the loop has dialed, and nobody has answered yet
	in                  [][]byte // pieces that have arrived; a read takes of one only
	eof                 bool     // the peer has shut down its half
	gone                bool     // the peer has closed: what is sent now is answered with a reset
	dead                bool     // reset, by either side
	pending             syscall.Errno
	failRead, failWrite syscall.Errno // what the next call is to fail with

	out    []byte // what the peer has received
	window int    // how much more it takes; negative is all
	fin    bool   // it has received the end

	linger bool // Close resets
	closed bool
	reset  bool // the peer has received a reset
}

// unlimited is a window that is always open.
const unlimited = -1

// Read takes of one piece only, so that a piece is what the handler's loop reads at
// once. What had arrived before a reset can be read after it, as with tcp(7).
func (s *socket) Read(a, b []byte) (int, syscall.Errno) {
	switch {
	case s.failRead != 0:
		return 0, take(&s.failRead)
	case len(s.in) > 0:
		piece := s.in[0]
		n := copy(a, piece)
		n += copy(b, piece[n:])
		if s.in[0] = piece[n:]; len(s.in[0]) == 0 {
			s.in = s.in[1:]
		}
		*s.moved += n
		return n, 0
	case s.pending != 0:
		return 0, take(&s.pending)
	case s.eof || s.dead:
		return 0, 0
	}
	return 0, syscall.EAGAIN
}

func (s *socket) Write(a, b []byte) (int, syscall.Errno) {
	switch {
	case s.failWrite != 0:
		return 0, take(&s.failWrite)
	case s.pending != 0:
		return 0, take(&s.pending)
	case s.dead || s.fin:
		return 0, syscall.EPIPE
	case s.gone:
		s.die(syscall.ECONNRESET) // this one goes out; its answer is the reset
		return len(a) + len(b), 0
	case s.window == 0:
		return 0, syscall.EAGAIN
	}
	all := slices.Concat(a, b)
	if s.window != unlimited {
		all = all[:min(len(all), s.window)]
		s.window -= len(all)
	}
	s.out = append(s.out, all...)
	*s.moved += len(all)
	if s.answer != nil {
		if reply := s.answer(all); len(reply) > 0 {
			s.in = append(s.in, slices.Clone(reply))
		}
	}
	return len(all), 0
}

func take(e *syscall.Errno) syscall.Errno {
	taken := *e
	*e = 0
	return taken
}

// die is a reset that arrives.
func (s *socket) die(e syscall.Errno) {
	if !s.dead && !s.closed {
		s.dead, s.connecting, s.pending = true, false, e
	}
}

// ShutdownWrite is the end of what the peer receives.
func (s *socket) ShutdownWrite() error {
	if s.dead {
		return syscall.ENOTCONN
	}
	s.fin = true
	s.eof = s.eof || s.answer != nil
	return nil
}

// Linger has Close reset.
func (s *socket) Linger() { s.linger = true }

// SetUserTimeout does nothing: nothing is ever unacknowledged.
func (s *socket) SetUserTimeout(time.Duration) {}

// Unacknowledged is 0: what was sent has arrived.
func (s *socket) Unacknowledged() int { return 0 }

// PendingError is what a reset has left.
func (s *socket) PendingError() error {
	if e := take(&s.pending); e != 0 {
		return e
	}
	return nil
}

// LocalAddr is the address that the peer connected to.
func (s *socket) LocalAddr() (netip.AddrPort, error) { return s.local, nil }

// Ready is level-triggered, as tcp_poll of the kernel says it.
func (s *socket) Ready() (r simulate.Readiness) {
	if s.connecting {
		return 0
	}
	if len(s.in) > 0 || s.eof || s.dead || s.failRead != 0 {
		r |= simulate.Readable
	}
	if s.window != 0 || s.dead || s.gone || s.fin || s.failWrite != 0 {
		r |= simulate.Writable
	}
	if s.pending != 0 {
		r |= simulate.Failed
	}
	if s.dead || s.eof && s.fin {
		r |= simulate.HungUp
	}
	return r
}

// Close tells the peer of the end: in order, or with a reset if that was asked for or
// if something that had arrived was never read.
func (s *socket) Close() {
	s.closed = true
	if s.linger || len(s.in) > 0 {
		s.reset = !s.dead
	} else {
		s.fin = true
	}
	s.in = nil
}
