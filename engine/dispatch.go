package engine

import "github.com/nsreactor/nsreactor/poller"

// batch is one epoll_wait(2)'s events, put into the order in which they are
// handled: those of handlers that need no namespace first, then those of the
// namespace that the thread is in, then namespace by namespace. A batch so
// costs at most one switch for each distinct namespace in it.
//
// The order is made with a bucket for every namespace, in time proportional
// to the events: comparing them would cost more than it saves when each event
// is of another namespace.
type batch struct {
	events []batchEvent
	order  []int32 // indices of events, in the order of handling
	cells  []*cell // the namespaces met, in the order of meeting
	next   int     // in order: where handling is
}

// batchEvent is an event with what its token stands for.
type batchEvent struct {
	conn     *Conn
	listener *listener
	ready    poller.Readiness
	link     int32 // the next event of the same namespace; -1 is none
}

// dispatch handles the events of a batch.
func (l *loop) dispatch(events []poller.Event) {
	if len(events) == 0 {
		return
	}
	l.collect(events)
	for l.batch.next < len(l.batch.order) {
		l.handleEvents()
	}
	clear(l.batch.events)
}

// collect resolves the tokens, drops the stale, and orders the rest.
func (l *loop) collect(events []poller.Event) {
	b := &l.batch
	b.events, b.order, b.cells, b.next = b.events[:0], b.order[:0], b.cells[:0], 0
	for i := range events {
		token := events[i].Token()
		if token == poller.WakeToken {
			continue
		}
		conn, listener := l.table.get(token)
		if conn == nil && listener == nil {
			l.stats.stale.inc()
			continue
		}
		b.add(batchEvent{conn: conn, listener: listener, ready: events[i].Readiness(), link: -1}, l.eng.cfg.Switch)
	}
	b.orderCells(l.at)
}

func (b *batch) add(e batchEvent, policy SwitchPolicy) {
	i := int32(len(b.events))
	b.events = append(b.events, e)
	ep := e.endpoint()
	if ep.anywhere || policy == SwitchAlways {
		b.order = append(b.order, i)
		return
	}
	cell := ep.cell
	if cell.first < 0 {
		cell.first = i
		b.cells = append(b.cells, cell)
	} else {
		b.events[cell.last].link = i
	}
	cell.last = i
}

func (e *batchEvent) endpoint() *endpoint {
	if e.conn != nil {
		return e.conn.ep
	}
	return e.listener.ep
}

// orderCells empties the buckets into the order, the one of the namespace
// that the thread is in first.
func (b *batch) orderCells(at *Namespace) {
	for i, cell := range b.cells {
		if cell.ns == at || at == nil && cell.ns.home {
			b.cells[0], b.cells[i] = cell, b.cells[0]
			break
		}
	}
	for _, cell := range b.cells {
		for i := cell.first; i >= 0; i = b.events[i].link {
			b.order = append(b.order, i)
		}
		cell.first = -1
	}
}

// handleEvents goes through the batch from where it is. A handler's panic ends
// it early; the caller calls again.
func (l *loop) handleEvents() {
	defer l.recoverHandler()
	b := &l.batch
	for b.next < len(b.order) {
		e := &b.events[b.order[b.next]]
		b.next++
		if e.conn != nil {
			l.serveConn(e.conn, e.ready)
		} else {
			l.serveListener(e.listener)
		}
	}
}

// show tells the watchdog whose callbacks run.
func (l *loop) show(ep *endpoint) {
	if l.shown != ep {
		l.shown = ep
		l.serving.Store(ep)
	}
}
