package engine

import (
	"sync"
	"sync/atomic"
)

// guests are a cell's connections that goroutines serve, by way of Go's own
// poller. They come from the loop and go from anywhere, so unlike all else in a
// cell they have a lock.
type guests struct {
	mu       sync.Mutex
	first    *NetConn // a list
	draining bool     // the loop waits for the last to go

	count   atomic.Int64
	in, out atomic.Uint64 // bytes
}

func (g *guests) len() int { return int(g.count.Load()) }

func (g *guests) add(c *NetConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.next = g.first
	if g.first != nil {
		g.first.prev = c
	}
	g.first = c
	g.count.Add(1)
	c.loop.eng.guests.Add(1)
}

// remove reports whether the loop waits for this to have been the last.
func (g *guests) remove(c *NetConn) (awaited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	default:
		g.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.next, c.prev = nil, nil
	g.count.Add(-1)
	c.loop.eng.guests.Add(-1)
	return g.draining && g.first == nil
}

// all is a copy of the list.
func (g *guests) all() []*NetConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]*NetConn, 0, g.len())
	for c := g.first; c != nil; c = c.next {
		list = append(list, c)
	}
	return list
}

// condemn is those that are there and were not condemned before: a loop may be told to
// reset them several times before it has been done.
func (g *guests) condemn() []*NetConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []*NetConn
	for c := g.first; c != nil; c = c.next {
		if !c.condemned {
			c.condemned = true
			list = append(list, c)
		}
	}
	return list
}

func (g *guests) setDraining() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
}

func (g *guests) isDraining() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining
}

// handOver gives an accepted socket to a bridge.
func (l *loop) handOver(ep *endpoint, a accepted) {
	cell := ep.cell
	if cell.drained || l.stopping || l.eng.full(cell.ns) {
		l.reject(cell, a)
		return
	}
	cell.accepted.inc()
	ep.svc.bridge.push(l.newGuest(cell, a))
}

// cutOffGuests resets those that are still there. The resets themselves are left to
// the control goroutine: to close what a goroutine is just reading is to wait for it.
func (l *loop) cutOffGuests(c *cell) {
	doomed := c.guests.condemn()
	if len(doomed) == 0 {
		return
	}
	l.stats.resets.add(uint64(len(doomed)))
	c.errors[ErrorDrain].add(uint64(len(doomed)))
	if !l.eng.control.post(func(*control) { expelAll(doomed) }) {
		expelAll(doomed)
	}
}

func expelAll(doomed []*NetConn) {
	for _, c := range doomed {
		c.expel(c.error("close", ErrDrained))
	}
}

// expelGuests is the end of Shutdown, for what a blocked loop has left open.
func (ns *Namespace) expelGuests() {
	for _, c := range ns.cells {
		expelAll(c.guests.all())
	}
}
