package engine

import (
	"slices"
	"testing"
	"time"
)

func TestHoldsOurs(t *testing.T) {
	if (Holds{}).Ours() || (Holds{ParkedLoops: []int{}}).Ours() {
		t.Error("nothing is held, and it is ours")
	}
	for _, h := range []Holds{{Handle: true}, {Listeners: 1}, {Conns: 1}, {ParkedLoops: []int{0}}} {
		if !h.Ours() {
			t.Errorf("%+v is not ours", h)
		}
	}
}

func TestHistogramCount(t *testing.T) {
	if n := (Histogram{Counts: []uint64{1, 0, 5}}).Count(); n != 6 {
		t.Errorf("%d observations, want 6", n)
	}
}

// A namespace's numbers are the sums of its parts on the loops.
func TestNamespaceStatsAreSums(t *testing.T) {
	e := unitEngine(t, Config{})
	e.loops = []*loop{{eng: e}, {eng: e, index: 1}}
	ns := &Namespace{eng: e, handle: true, state: StateDraining}
	for range e.loops {
		ns.cells = append(ns.cells, &cell{ns: ns, first: -1})
	}
	for i, c := range ns.cells {
		n := uint64(1 + i)
		for j, counter := range []*counter{&c.open, &c.listening, &c.accepted, &c.rejected, &c.bytesIn, &c.bytesOut} {
			counter.add(n * uint64(10*(j+1)))
		}
		for k := range c.errors {
			c.errors[k].add(n * uint64(k))
		}
	}
	ns.listenErrors.Store(5)
	e.loops[1].parked.Store(ns)
	ns.ports = []*port{{svc: &service{network: "tcp"}, bound: 4711, sockets: 2, err: ErrClosed}}

	s := ns.stats()
	if s.Conns != 30 || s.Holds.Listeners != 60 || s.Accepted != 90 || s.Rejected != 120 || s.BytesIn != 150 || s.BytesOut != 180 {
		t.Errorf("%+v", s)
	}
	for k, n := range s.Errors {
		want := uint64(3 * k)
		if ErrorKind(k) == ErrorListen {
			want += 5
		}
		if n != want {
			t.Errorf("%d errors of kind %v, want %d", n, ErrorKind(k), want)
		}
	}
	if !s.Holds.Handle || s.Holds.Conns != s.Conns || !slices.Equal(s.Holds.ParkedLoops, []int{1}) || s.State != StateDraining {
		t.Errorf("%+v", s)
	}
	if want := (ListenerStats{Network: "tcp", Port: 4711, Sockets: 2, Err: ErrClosed}); len(s.Listeners) != 1 || s.Listeners[0] != want {
		t.Errorf("listeners %+v", s.Listeners)
	}
	if ns.connections() != 30 {
		t.Errorf("%d connections", ns.connections())
	}
}

func TestConnectionLimits(t *testing.T) {
	e := unitEngine(t, Config{MaxConns: 10, MaxConnsPerNamespace: 4})
	e.loops = []*loop{{eng: e}, {eng: e, index: 1}}
	ns := &Namespace{eng: e, cells: []*cell{{}, {}}}
	for _, c := range []struct {
		loops, cells [2]uint64
		want         bool
	}{
		{[2]uint64{2, 1}, [2]uint64{2, 1}, false},
		{[2]uint64{2, 2}, [2]uint64{2, 2}, true}, // the namespace's
		{[2]uint64{5, 4}, [2]uint64{0, 0}, false},
		{[2]uint64{5, 5}, [2]uint64{0, 0}, true}, // the engine's
	} {
		for i := range e.loops {
			e.loops[i].stats.conns.v.Store(c.loops[i])
			ns.cells[i].open.v.Store(c.cells[i])
		}
		if got := e.full(ns); got != c.want {
			t.Errorf("%v of the loops, %v of them the namespace's: full %v", c.loops, c.cells, got)
		}
	}
	e.cfg.MaxConns, e.cfg.MaxConnsPerNamespace = 0, 0
	if e.full(ns) {
		t.Error("full without a limit")
	}
}

// A loop that waits is not busy, however long it has waited, and not even
// while somebody is waking it.
func TestBusyIsOfThePresentTurn(t *testing.T) {
	l := unitLoop(t, Config{Loops: 1})
	l.turnAt.Store(0)
	l.mail.sleeping.Store(true)
	l.mail.post(task{})
	if busy := l.busy(); busy != 0 {
		t.Errorf("a loop that is being woken has been busy for %v", busy)
	}
	l.turnAt.Store(l.eng.clock() - int64(time.Second))
	if busy := l.busy(); busy < time.Second {
		t.Errorf("busy for %v, want a second at least", busy)
	}
}
