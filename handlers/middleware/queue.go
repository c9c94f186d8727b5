package middleware

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nsreactor/nsreactor/engine"
)

// queue is the buckets of a place, and the connections that wait for a token, whatever
// loops they are on. The first of them has a timer, and lets in all whose turn has come
// when it fires: so many connections that wait cost one timer.
type queue struct {
	users int // guarded by RateLimit.mu

	mu              sync.Mutex
	messages, bytes *rate.Limiter // nil is no limit
	first, last     *turn
}

// turn is a connection's part in a queue. The links and queued are guarded by the queue's
// lock, though the connection's loop, which alone sets queued, reads it without.
type turn struct {
	limit *pacing
	conn  *engine.Conn
	queue *queue
	at    place
	outer *turn // of another RateLimit, further outside

	seen            uint64 // how much of the connection's input was charged, or waits to be
	messages, bytes int    // that wait
	queued          bool   // from admit until the loop knows that it was let in
	linked          bool
	since           time.Time
	timer           *engine.Timer
	next, prev      *turn
}

// admit lets a connection's input in, or puts the connection into the queue. It runs on the
// connection's loop.
func (q *queue) admit(t *turn, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	delay := q.delay(now)
	if q.first == nil && delay <= 0 {
		q.take(now, t.messages, t.bytes)
		return true
	}
	t.since, t.queued, t.linked = now, true, true
	if q.first == nil {
		q.first, q.last = t, t
		t.wake(delay)
		return false
	}
	t.prev, q.last.next, q.last = q.last, t, t
	return false
}

// delay is how long it is until there is a token.
func (q *queue) delay(now time.Time) time.Duration {
	return max(until(q.messages, 1, now), until(q.bytes, 1, now))
}

// refill is how long it is until the buckets are full if nothing is taken.
func (q *queue) refill(now time.Time) (d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range [...]*rate.Limiter{q.messages, q.bytes} {
		if l != nil {
			d = max(d, until(l, l.Burst(), now))
		}
	}
	return d
}

// until is how long it is until a limiter has so many tokens.
func until(l *rate.Limiter, tokens int, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	lacking := float64(tokens) - l.TokensAt(now)
	if lacking <= 0 {
		return 0
	}
	return time.Duration(lacking/float64(l.Limit())*1e9) + 1 // rounded up
}

// charge takes tokens that were used without asking.
func (q *queue) charge(now time.Time, messages, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.take(now, messages, bytes)
}

// take takes tokens, more than there are if need be: the buckets are in debt then.
func (q *queue) take(now time.Time, messages, bytes int) {
	spend(q.messages, now, messages)
	spend(q.bytes, now, bytes)
}

// spend cuts n into what a limiter reserves at once, which is no more than a bucket full.
func spend(l *rate.Limiter, now time.Time, n int) {
	for l != nil && n > 0 {
		piece := min(n, l.Burst())
		l.ReserveN(now, piece)
		n -= piece
	}
}

// wake has the turn's connection look after the queue, in d. It runs on its loop.
func (t *turn) wake(d time.Duration) {
	if t.timer == nil {
		t.timer = t.conn.AfterFunc(d, t.serve)
		return
	}
	t.timer.Reset(d)
}

// serve lets in all whose turn has come. It runs on the loop of the first in the queue.
func (t *turn) serve(c *engine.Conn) {
	q, now := t.queue, c.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first != nil {
		if d := q.delay(now); d > 0 {
			q.first.rouse(t, d)
			return
		}
		in := q.first
		q.take(now, in.messages, in.bytes)
		q.unlink(in)
		in.limit.admitted(now.Sub(in.since))
		if in == t {
			in.release(c)
		} else {
			in.conn.Call(in.release)
		}
	}
}

// rouse has the first in the queue look after it, in d, if it isn't the one that does so.
func (t *turn) rouse(by *turn, d time.Duration) {
	if t == by {
		t.wake(d)
		return
	}
	t.conn.Call(func(c *engine.Conn) {
		t.queue.mu.Lock()
		first := t.queue.first == t
		t.queue.mu.Unlock()
		if first {
			t.wake(d)
		}
	})
}

// release has the input of a connection that was let in go to its handler.
func (t *turn) release(c *engine.Conn) {
	t.queued = false
	c.Release()
}

// abandon takes a connection that is closed out of the queue, and reports whether it was
// in. Nothing is charged for it. Who is the first now looks after the queue.
func (q *queue) abandon(t *turn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.linked {
		return false
	}
	wasFirst := q.first == t
	q.unlink(t)
	if wasFirst && q.first != nil {
		q.first.rouse(t, 0)
	}
	return true
}

func (q *queue) unlink(t *turn) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		q.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		q.last = t.prev
	}
	t.next, t.prev, t.linked = nil, nil, false
}
