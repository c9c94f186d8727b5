package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/poller"
)

// batchCase is a batch to be ordered.
type batchCase struct {
	cells  []*cell
	events []*endpoint // whose they are
	at     *Namespace  // where the thread is

	raw     [40]poller.Event
	handled []int // indices of events, in the order of handling
}

func (c *batchCase) endpoint(cell int, anywhere bool) *endpoint {
	return &endpoint{cell: c.cells[cell], anywhere: anywhere}
}

func randomBatch(r *rand.Rand, cells []*cell) *batchCase {
	c := &batchCase{cells: cells}
	for range r.IntN(40) {
		ep := c.endpoint(r.IntN(len(cells)), r.IntN(4) == 0)
		c.events = append(c.events, ep)
	}
	if at := r.IntN(len(cells) + 1); at < len(cells) {
		c.at = cells[at].ns
	}
	return c
}

// order puts the events through a batch, which may be one that was used before.
func (c *batchCase) order(b *batch, always bool) []int {
	c.handled = c.handled[:0]
	b.begin(c.raw[:len(c.events)])
	for i, ep := range c.events {
		if b.isFree(i, ep.anywhere || always, ep) {
			c.handled = append(c.handled, i)
		}
	}
	b.order(c.at)
	for i := b.pop(); i >= 0; i = b.pop() {
		c.handled = append(c.handled, i)
	}
	return c.handled
}

func (c *batchCase) check(t *testing.T, order []int) {
	t.Helper()
	if sorted := slices.Sorted(slices.Values(order)); len(sorted) != len(c.events) || len(slices.Compact(sorted)) != len(c.events) {
		t.Fatalf("order %v of %d events: not every one once", order, len(c.events))
	}
	var switches int
	distinct := make(map[*Namespace]bool)
	here, last := c.at, -1
	needy := false
	for _, i := range order {
		ep := c.events[i]
		if ep.anywhere {
			if needy {
				t.Fatalf("order %v: event %d, which needs no namespace, comes after some that do", order, i)
			}
		} else {
			if !needy {
				needy, last = true, -1
			}
			if ep.cell.ns != here {
				switches++
				here, last = ep.cell.ns, -1
			}
			distinct[ep.cell.ns] = true
		}
		if i <= last {
			t.Fatalf("order %v: %d comes after %d; the kernel had it otherwise", order, i, last)
		}
		last = i
	}
	want := len(distinct)
	if distinct[c.at] {
		want-- // it is where the thread is
	}
	if switches != want {
		t.Fatalf("order %v makes %d switches, %d would do", order, switches, want)
	}
	for _, cell := range c.cells {
		if cell.first >= 0 {
			t.Fatal("a bucket was left behind for the next batch")
		}
	}
}

func TestBatchOrder(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 4))
		cells := make([]*cell, 1+r.IntN(6))
		for i := range cells {
			cells[i] = unitCell(nil)
		}
		var b batch
		for range 10 { // the same batch and cells again, as a loop does
			c := randomBatch(r, cells)
			c.check(t, c.order(&b, false))
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}

// The baseline keeps the kernel's order: it switches for every event anyway.
func TestBatchOrderOfSwitchAlways(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	cells := []*cell{unitCell(nil), unitCell(nil), unitCell(nil)}
	var b batch
	for range 100 {
		c := randomBatch(r, cells)
		order := c.order(&b, true)
		if len(order) != len(c.events) || !slices.IsSorted(order) {
			t.Fatalf("order %v of %d events", order, len(c.events))
		}
	}
}

// A batch's events of earlier generations are dropped, and the waker's skipped,
// whichever pass they would be handled in.
func TestDispatchDropsStaleEvents(t *testing.T) {
	for _, anywhere := range []bool{true, false} {
		l := unitLoop(t, Config{Loops: 1})
		l.thread = new(nsctx.Thread)
		var served []*Conn
		add := func() *Conn {
			a, b := unitPair(t)
			t.Cleanup(func() { closeSocket(b) })
			c := unitConn(l, a)
			c.anywhere = anywhere
			c.ep.handler = hooks{data: func(c *Conn) { served = append(served, c) }}
			l.updateInterest(c)
			if n, e := writeSocket(b, []byte("x")); n != 1 || e != 0 {
				t.Fatal(n, e)
			}
			return c
		}
		kept, gone, replaced := add(), add(), add()
		l.table.drop(gone.token)
		l.table.drop(replaced.token)
		l.table.put(new(Conn), nil) // takes the slot, not the token
		unitMust(t, l.poller.Wake())

		events, err := l.poller.Wait(0)
		unitMust(t, err)
		if len(events) != 4 {
			t.Fatalf("the poller says %d events", len(events))
		}
		l.dispatch(events)
		if !slices.Equal(served, []*Conn{kept}) {
			t.Errorf("%d connections were served", len(served))
		}
		if n := l.stats.stale.load(); n != 2 {
			t.Errorf("%d stale events were counted, want 2", n)
		}
	}
}

// A callback that ends an event's connection earlier in the batch makes the
// event a stale one, in either pass.
func TestDispatchDropsWhatTheBatchClosed(t *testing.T) {
	for _, anywhere := range []bool{true, false} {
		l := unitLoop(t, Config{Loops: 1})
		l.thread = new(nsctx.Thread)
		var conns []*Conn
		served := 0
		closeAll := func(*Conn) {
			served++
			for _, c := range conns {
				l.destroy(c, nil)
			}
		}
		cell := unitCell(l.eng)
		for range 3 {
			a, b := unitPair(t)
			t.Cleanup(func() { closeSocket(b) })
			c := unitConn(l, a)
			c.ep.cell, c.anywhere, c.ep.handler = cell, anywhere, hooks{data: closeAll}
			l.updateInterest(c)
			conns = append(conns, c)
			if n, e := writeSocket(b, []byte("x")); n != 1 || e != 0 {
				t.Fatal(n, e)
			}
		}
		events, err := l.poller.Wait(0)
		unitMust(t, err)
		l.dispatch(events)
		if stale := l.stats.stale.load(); served != 1 || stale != 2 {
			t.Errorf("%d of 3 served, %d stale; want 1 and 2", served, stale)
		}
	}
}

func TestLightestLoop(t *testing.T) {
	e := &Engine{}
	for i := range 4 {
		e.loops = append(e.loops, &loop{eng: e, index: i})
	}
	for _, c := range []struct {
		loads      [4]int64
		from, want int
	}{
		{[4]int64{0, 0, 0, 0}, 0, 1}, // among equals, the next
		{[4]int64{0, 0, 0, 0}, 3, 0},
		{[4]int64{1, 2, 2, 2}, 0, 0}, // oneself
		{[4]int64{5, 4, 3, 2}, 0, 3},
		{[4]int64{5, 4, 3, 3}, 2, 3},
		{[4]int64{1, 1, 1, 0}, 3, 3},
	} {
		for i, l := range e.loops {
			l.load.Store(c.loads[i])
		}
		if got := e.lightest(e.loops[c.from]); got.index != c.want {
			t.Errorf("loads %v, asked by %d: loop %d, want %d", c.loads, c.from, got.index, c.want)
		}
	}
}

func TestCellListsItsConnections(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	l := &loop{}
	c := unitCell(nil)
	var want []*Conn
	for range 1000 {
		if len(want) == 0 || r.IntN(2) == 0 {
			conn := new(Conn)
			c.add(conn)
			want = append(want, conn)
		} else {
			i := r.IntN(len(want))
			c.remove(want[i])
			if want[i].group != (connLinks{}) {
				t.Fatal("a connection that was removed has neighbours")
			}
			want = slices.Delete(want, i, i+1)
		}
		got := l.connsOf(c)
		if len(got) != len(want) || int(c.open.load()) != len(want) {
			t.Fatalf("%d connections, counted %d, want %d", len(got), c.open.load(), len(want))
		}
		for _, conn := range got {
			if !slices.Contains(want, conn) {
				t.Fatal("a connection that was removed is listed")
			}
		}
	}
}
