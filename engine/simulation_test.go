package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/internal/simulate"
)

// memorySocket is a simulated socket whose peer is a pair of slices. Package
// handlertest has the one for users.
type memorySocket struct {
	in     [][]byte
	eof    bool
	out    []byte
	window int
	events []string
}

func (s *memorySocket) Read(a, b []byte) (int, syscall.Errno) {
	switch {
	case len(s.in) > 0:
		n := copy(a, s.in[0])
		n += copy(b, s.in[0][n:])
		if s.in[0] = s.in[0][n:]; len(s.in[0]) == 0 {
			s.in = s.in[1:]
		}
		return n, 0
	case s.eof:
		return 0, 0
	}
	return 0, syscall.EAGAIN
}

func (s *memorySocket) Write(a, b []byte) (int, syscall.Errno) {
	all := append(slices.Clone(a), b...)
	n := min(len(all), s.window)
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	s.window -= n
	s.out = append(s.out, all[:n]...)
	return n, 0
}

func (s *memorySocket) did(what string)              { s.events = append(s.events, what) }
func (s *memorySocket) ShutdownWrite() error         { s.did("fin"); return nil }
func (s *memorySocket) Linger()                      { s.did("linger") }
func (s *memorySocket) SetUserTimeout(time.Duration) {}
func (s *memorySocket) Unacknowledged() int          { return 0 }
func (s *memorySocket) PendingError() error          { return nil }
func (s *memorySocket) Close()                       { s.did("close") }
func (s *memorySocket) LocalAddr() (netip.AddrPort, error) {
	return netip.MustParseAddrPort("192.0.2.1:7"), nil
}

func (s *memorySocket) Ready() (r simulate.Readiness) {
	if len(s.in) > 0 || s.eof {
		r |= simulate.Readable
	}
	if s.window > 0 {
		r |= simulate.Writable
	}
	return r
}

// simulated is a loop that serves a handler on port 7 of one namespace.
func simulated(t *testing.T, cfg Config, h Handler) (*simulation, *Namespace) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := newSimulation(cfg)
	unitMust(t, err)
	ns := s.AddNamespace("a")
	s.Handle(ns, 7, h)
	t.Cleanup(func() {
		s.Finish()
		if kept := s.Kept(); kept != nil {
			t.Errorf("the loop still holds %v", kept)
		}
	})
	return s, ns
}

func (s *simulation) connect(t *testing.T, ns *Namespace, sock *memorySocket) (fd int) {
	t.Helper()
	fd = simulate.Open(sock)
	unitMust(t, s.Accept(ns, 7, fd, netip.MustParseAddrPort("192.0.2.2:1000")))
	s.settle()
	return fd
}

func (s *simulation) settle() {
	for s.Due() {
		s.Turn()
	}
}

// A simulated loop is the real one: it reads piece by piece, waits for room, and ends
// in order, on descriptors that no kernel knows.
func TestSimulatedLoopServes(t *testing.T) {
	ended := errors.New("OnClose was not called")
	s, ns := simulated(t, Config{}, hooks{data: echo, closed: func(_ *Conn, err error) { ended = err }})
	sock := &memorySocket{in: [][]byte{[]byte("hello"), []byte("you")}, window: 6}
	fd := s.connect(t, ns, sock)
	if string(sock.out) != "helloy" {
		t.Errorf("wrote %q into a window of 6", sock.out)
	}
	sock.window, sock.eof = 100, true
	s.settle()
	if string(sock.out) != "helloyou" || ended != nil {
		t.Errorf("wrote %q, ended with %v", sock.out, ended)
	}
	if !slices.Equal(sock.events, []string{"close"}) {
		t.Errorf("the socket saw %v", sock.events)
	}
	if _, e := simulate.At(fd).Read(nil, nil); e != syscall.EBADF {
		t.Errorf("the descriptor is still open: %v", e)
	}
	if st := s.Engine().Stats(); st.Namespaces[0].BytesIn != 8 || st.Loops[0].Switches == 0 {
		t.Errorf("counted %+v", st)
	}
}

// Time is the test's: a timer fires when its hour has passed, and not before.
func TestSimulatedTime(t *testing.T) {
	var fired int
	var ended error
	s, ns := simulated(t, Config{}, hooks{
		open: func(c *Conn) {
			c.SetTimer(time.Hour)
			c.SetDeadline(time.Now().Add(2 * time.Hour))
		},
		timer:  func(*Conn) { fired++ },
		closed: func(_ *Conn, err error) { ended = err },
	})
	sock := &memorySocket{}
	s.connect(t, ns, sock)
	s.Pass(time.Hour - 1)
	if s.settle(); fired != 0 {
		t.Error("fired early")
	}
	s.Pass(1)
	if s.settle(); fired != 1 || ended != nil {
		t.Errorf("fired %d times, ended with %v", fired, ended)
	}
	s.Pass(time.Hour)
	if s.settle(); !errors.Is(ended, ErrDeadline) || !slices.Equal(sock.events, []string{"linger", "close"}) {
		t.Errorf("ended with %v, the socket saw %v", ended, sock.events)
	}
}

// A drain ends without a kernel to confirm it, and a namespace that can't be entered
// is no handler's place.
func TestSimulatedNamespaces(t *testing.T) {
	var ended []error
	s, ns := simulated(t, Config{}, hooks{closed: func(_ *Conn, err error) { ended = append(ended, err) }})
	s.connect(t, ns, &memorySocket{eof: false})
	s.Refuse(ns, syscall.EPERM)
	refused := &memorySocket{}
	s.connect(t, ns, refused)
	if len(ended) != 1 || !errors.Is(ended[0], ErrSwitch) || !errors.Is(ended[0], syscall.EPERM) {
		t.Errorf("ended with %v", ended)
	}
	s.Refuse(ns, nil)
	s.Drain(ns)
	s.settle()
	s.Pass(time.Minute)
	s.settle()
	<-ns.Released()
	if len(ended) != 2 || len(s.Engine().Namespaces()) != 0 {
		t.Errorf("ended with %v, and there are %d namespaces", ended, len(s.Engine().Namespaces()))
	}
}

// Work waits until it is told to run, has the time that is left on the loop's clock,
// and comes back as it does from the pool.
func TestSimulatedWork(t *testing.T) {
	var done []error
	s, ns := simulated(t, Config{Workers: 1}, hooks{data: func(c *Conn) {
		c.Discard(c.Buffered())
		for range 2 {
			unitMust(t, c.Go(Work{
				Run:         func(ctx context.Context) error { return ctx.Err() },
				Done:        func(_ *Conn, err error) { done = append(done, err) },
				InNamespace: true, Timeout: time.Minute,
			}))
		}
	}})
	sock := &memorySocket{in: [][]byte{{1}}}
	s.connect(t, ns, sock)
	if done != nil || s.Works() != 1 {
		t.Fatalf("done %v, %d works wait", done, s.Works())
	}
	s.RunWork()
	s.settle()
	if len(done) != 2 || done[0] != nil || done[1] != nil {
		t.Errorf("done %v", done)
	}
	sock.in = append(sock.in, []byte{1})
	s.settle()
	s.Pass(time.Minute)
	s.RunWork()
	s.settle()
	if len(done) != 4 || !errors.Is(done[3], context.DeadlineExceeded) {
		t.Errorf("done %v", done)
	}
	sock.eof = true
	s.settle()
}
