package engine

import "github.com/nsreactor/nsreactor/poller"

// batch is one epoll_wait(2)'s events, handled in two passes. The first handles
// those of handlers that need no namespace as it meets them, and puts the
// others into a bucket for each namespace; the second empties the buckets, the
// one of the namespace that the thread is in first. A batch so costs at most
// one switch for each distinct namespace in it.
//
// Buckets take time proportional to the events: comparing them would cost more
// than it saves when each event is of another namespace. They hold indices,
// not pointers, so that nothing need be cleared, and nothing that a callback
// of the batch closes can be meant by them.
type batch struct {
	events []poller.Event // the poller's, valid for this turn
	next   int            // in events: where the first pass is
	links  []int32        // for each event, the next one in its bucket; -1 is none
	cells  []*cell        // the namespaces met, in the order of meeting
	turn   int            // in cells: whose bucket is being emptied
	warmed uint64
}

// dispatch handles the events of a batch.
func (l *loop) dispatch(events []poller.Event) {
	if len(events) == 0 {
		return
	}
	b := &l.batch
	b.begin(events)
	for b.next < len(b.events) {
		l.handleFree()
	}
	b.order(l.at)
	for b.turn < len(b.cells) {
		l.handleBuckets()
	}
}

// handleFree is the first pass, from where it is. A handler's panic ends it
// early; the caller calls again.
func (l *loop) handleFree() {
	defer l.recoverHandler()
	b := &l.batch
	for b.next < len(b.events) {
		i := b.next
		if i%warmAhead == 0 && len(b.events) >= warmFrom {
			l.warm(b.events[i:min(i+warmAhead, len(b.events))])
		}
		b.next++
		if b.events[i].Token() == poller.WakeToken {
			continue
		}
		c, other := l.resolve(i)
		switch {
		case c != nil:
			if b.isFree(i, c.anywhere || l.limits.always, c.ep) {
				l.serveConn(c, b.events[i].Readiness())
			}
		case other != nil:
			if b.isFree(i, other.ep.anywhere || l.limits.always, other.ep) {
				other.serve(l, b.events[i].Readiness())
			}
		}
	}
}

// warmFrom is the batch from which on warm pays: what serves fewer is in the cache.
const warmFrom = 128

// warmAhead is for how many events the cache is warmed at once: enough for their
// misses to overlap, few enough for all to be there still when the last of them
// is handled.
const warmAhead = 16

// warm reads what serving the events will read first: slot, connection and
// endpoint, each found through the one before. One after the other, with a
// system call in between that waits for all reads, that is three misses in a row
// for every event; the reads of different events wait for each other's not.
func (l *loop) warm(events []poller.Event) {
	var read uint64
	for i := range events {
		if c, _ := l.table.get(events[i].Token()); c != nil {
			read += c.ep.in
		}
	}
	l.batch.warmed = read // or the compiler would leave the reads out
}

// handleBuckets is the second pass, as handleFree is the first.
func (l *loop) handleBuckets() {
	defer l.recoverHandler()
	b := &l.batch
	for i := b.pop(); i >= 0; i = b.pop() {
		c, other := l.resolve(i)
		switch {
		case c != nil:
			l.serveConn(c, b.events[i].Readiness())
		case other != nil:
			other.serve(l, b.events[i].Readiness())
		}
	}
}

// resolve is what an event's token stands for; nothing, and counted, if it is
// stale.
func (l *loop) resolve(i int) (*Conn, *source) {
	c, other := l.table.get(l.batch.events[i].Token())
	if c == nil && other == nil {
		l.stats.stale.inc()
	}
	return c, other
}

// begin starts on a batch. If a handler has ended the goroutine in the middle
// of the last, there may be buckets of it.
func (b *batch) begin(events []poller.Event) {
	for _, cell := range b.cells {
		cell.first = -1
	}
	b.events, b.next, b.cells, b.turn = events, 0, b.cells[:0], 0
	if len(b.links) < len(events) {
		b.links = make([]int32, cap(events))
	}
}

// isFree passes on whether an event may be handled when it is met, because its
// handler needs no namespace or the policy is to always switch. If not, it puts
// the event into its bucket.
func (b *batch) isFree(i int, free bool, ep *endpoint) bool {
	if free {
		return true
	}
	cell := ep.cell
	if cell.first < 0 {
		cell.first = int32(i)
		b.cells = append(b.cells, cell)
	} else {
		b.links[cell.last] = int32(i)
	}
	cell.last = int32(i)
	b.links[i] = -1
	return false
}

// order puts the bucket of the namespace that the thread is in first.
func (b *batch) order(at *Namespace) {
	for i, cell := range b.cells {
		if cell.ns == at || at == nil && cell.ns.home {
			b.cells[0], b.cells[i] = cell, b.cells[0]
			return
		}
	}
}

// pop takes the next event out of the buckets; -1 is none.
func (b *batch) pop() int {
	for b.turn < len(b.cells) {
		cell := b.cells[b.turn]
		if i := cell.first; i >= 0 {
			cell.first = b.links[i]
			return int(i)
		}
		b.turn++
	}
	return -1
}

// show tells the watchdog whose callbacks run.
func (l *loop) show(ep *endpoint) {
	if l.shown != ep {
		l.shown = ep
		l.serving.Store(ep)
	}
}
