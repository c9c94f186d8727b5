package engine

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A connection above MaxConns or MaxConnsPerNamespace is accepted, reset, and
// counted; its handler never hears of it. When one goes, the next may come.
func TestLimitsOfOneLoop(t *testing.T) {
	const limit = 3
	for _, cfg := range []Config{{MaxConns: limit}, {MaxConnsPerNamespace: limit}, {MaxConns: limit, MaxConnsPerNamespace: 2 * limit}} {
		s := startServer(t, cfg, hooks{data: echo})
		var in []*client
		for range limit {
			c := s.dial()
			c.roundTrip([]byte("in"))
			in = append(in, c)
		}
		for range 5 {
			wantRejected(t, s.ports[0])
		}
		if st := s.stats(); st.Accepted != limit || st.Rejected != 5 || st.Conns != limit {
			t.Errorf("%+v: accepted %d, rejected %d, open %d, want %d, 5, %d", cfg, st.Accepted, st.Rejected, st.Conns, limit, limit)
		}
		for _, c := range in {
			c.roundTrip([]byte("still in"))
		}
		_ = in[0].Close()
		awaitUntil(t, "one is gone", func() bool { return s.stats().Conns == limit-1 })
		s.dial().roundTrip([]byte("in at last"))
		s.cutOff()
	}
}

// wantRejected wants a new connection to be reset, during connect(2) or after.
func wantRejected(t *testing.T, port int) {
	t.Helper()
	fd, err := rawDial(port)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Read(fd, make([]byte, 1))
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection above the limit: %v, want ECONNRESET", err)
	}
}

// With several loops the limits bound what is open all the same, and nobody is
// rejected while there is room.
func TestLimitsOfSeveralLoops(t *testing.T) {
	const loops, limit, clients = 3, 20, 50
	s := startServer(t, Config{Loops: loops, Unpinned: true, Accept: AcceptSpread, MaxConns: limit}, hooks{data: echo})
	var mu sync.Mutex
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			fd, err := rawDial(s.ports[0])
			if err != nil {
				return // reset before connect(2) had returned
			}
			mu.Lock()
			defer mu.Unlock()
			fds = append(fds, fd)
		})
	}
	awaitAll(t, &wg, "the clients")
	awaitUntil(t, "all are decided on", func() bool { st := s.stats(); return st.Accepted+st.Rejected == clients })
	st := s.stats()
	// Two loops that decide at once may both take the last place.
	if st.Conns < limit || st.Conns > limit+loops-1 {
		t.Errorf("%d connections are open, want %d (and %d at most)", st.Conns, limit, limit+loops-1)
	}
	if uint64(st.Conns) != st.Accepted {
		t.Errorf("%d are open of %d accepted", st.Conns, st.Accepted)
	}
}
