package middleware

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// Rate is a token bucket's. The zero Rate is no limit.
type Rate struct {
	// PerSecond is how many tokens come a second.
	PerSecond float64
	// Burst is how many the bucket holds. Default: one second's. A bucket of bytes holds
	// 1 KiB at least.
	Burst int
}

// RateLimit bounds how much the connections of a namespace receive, all of them together.
// What is above it waits: nothing is lost or refused, the connection is not read
// meanwhile, and so its peer is slowed down by TCP. What has been read and waits is
// at most Config.ReadChunk a connection.
//
// Connections take turns, first come, first served, and each waits with one piece of input
// at a time: none can starve another of its namespace, and a namespace does not feel
// another's limit. A piece is let through when there is a token, and may take more than
// there are: the next waits for longer. So one that is larger than the bucket
// passes too.
type RateLimit struct {
	// Messages limits messages. One is a call of OnData with new bytes, or what the
	// handler says, see Counted.
	Messages Rate
	// Bytes limits bytes, as they are on the wire. Those that [engine.Conn.ReadInto]
	// takes count when they are complete, or when the connection ends, against what
	// comes after.
	Bytes Rate
	// PerPeer makes the limits those of each address in a namespace, instead of the
	// namespace's. For both, chain two.
	PerPeer bool
	// IPv6Bits is how much of an IPv6 address tells peers apart. Default: 64.
	IPv6Bits int
	// Counted has the handler count its messages, with [Took]. A handler that takes
	// several messages in one OnData otherwise gets them for the price of one.
	Counted bool

	mu     sync.Mutex // guards queues, and their users
	queues map[place]*queue

	delayed, waited atomic.Uint64
	waiting         atomic.Int64
}

// RateLimitStats is what a RateLimit has slowed down.
type RateLimitStats struct {
	Delayed uint64        // pieces of input that have waited
	Waited  time.Duration // all their times together
	Waiting int           // connections that wait now
	Limited int           // namespaces, or peers with PerPeer, that have a bucket now
}

// Stats may be called by any goroutine.
func (r *RateLimit) Stats() RateLimitStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RateLimitStats{r.delayed.Load(), time.Duration(r.waited.Load()), int(r.waiting.Load()), len(r.queues)}
}

// Counters are the Stats, for metrics.
func (r *RateLimit) Counters() []tally.Sample {
	s := r.Stats()
	return []tally.Sample{
		tally.Count("rate_limit_delayed_total", "Pieces of input that waited for a rate limit.", s.Delayed),
		{Name: "rate_limit_wait_seconds_total", Help: "How long they waited.", N: s.Waited.Seconds()},
		tally.Gauge("rate_limit_waiting", "Connections that wait for a rate limit.", float64(s.Waiting)),
		tally.Gauge("rate_limit_buckets", "Namespaces, or peers, with a bucket of their own.", float64(s.Limited)),
	}
}

// Took says that a handler has taken n messages, to the RateLimits around it that are
// Counted. It belongs to the connection's callbacks.
func Took(c *engine.Conn, n int) {
	for t := turnOf(c); t != nil; t = t.outer {
		if t.limit.Counted {
			t.queue.charge(c.Now(), n, 0)
		}
	}
}

// turnKey is the connection's value that is its turn.
var turnKey = new(struct{ _ byte })

func turnOf(c *engine.Conn) *turn {
	t, _ := c.Value(turnKey).(*turn)
	return t
}

// Wrap is a [Middleware].
func (r *RateLimit) Wrap(h engine.Handler) engine.Handler { return &pacing{Base{h}, r} }

type pacing struct {
	Base
	*RateLimit
}

// turn finds the connection's own among those of several RateLimits.
func (w *pacing) turn(c *engine.Conn) *turn {
	t := turnOf(c)
	for t != nil && t.limit != w {
		t = t.outer
	}
	return t
}

func (w *pacing) OnOpen(c *engine.Conn) {
	p, limited := place{ns: c.Namespace()}, true
	if w.PerPeer {
		p, limited = peerOf(c, w.IPv6Bits)
	}
	if limited {
		c.CountBytes()
		t := &turn{limit: w, conn: c, queue: w.enter(p), at: p, outer: turnOf(c)}
		t.seen, _ = c.Traffic()
		c.SetValue(turnKey, t)
	}
	w.Handler.OnOpen(c)
}

func (w *pacing) OnData(c *engine.Conn) {
	if t := w.turn(c); t != nil && !w.admit(c, t) {
		c.Hold()
		return
	}
	w.Handler.OnData(c)
}

// admit reports whether the connection's input may pass. If not, it has a place in the
// queue.
func (w *pacing) admit(c *engine.Conn, t *turn) bool {
	if t.queued {
		return false
	}
	in, _ := c.Traffic()
	fresh := in - t.seen
	if fresh == 0 {
		return true // it has passed before
	}
	t.seen, t.bytes, t.messages = in, int(fresh), 1
	if w.Counted {
		t.messages = 0
	}
	if t.queue.admit(t, c.Now()) {
		return true
	}
	w.waiting.Add(1)
	return false
}

func (w *pacing) OnClose(c *engine.Conn, err error) {
	if t := w.turn(c); t != nil {
		if t.queue.abandon(t) {
			w.waiting.Add(-1)
		}
		if in, _ := c.Traffic(); in > t.seen { // by ReadInto: there is no more to count it with
			t.queue.charge(c.Now(), 0, int(in-t.seen))
		}
		w.exit(t.at, c.Now())
	}
	w.Base.OnClose(c, err)
}

// admitted counts a wait that is over.
func (w *pacing) admitted(wait time.Duration) {
	w.waiting.Add(-1)
	w.delayed.Add(1)
	w.waited.Add(uint64(max(wait, 0)))
}

// enter is a connection's queue.
func (r *RateLimit) enter(p place) *queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queues[p]
	if q == nil {
		if r.queues == nil {
			r.queues = make(map[place]*queue)
		}
		q = newQueue(r.Messages, r.Bytes)
		r.queues[p] = q
	}
	q.users++
	return q
}

// exit is the other end of enter. When the last connection has left, the queue is kept only
// until its buckets are full: to connect anew brings no new ones.
func (r *RateLimit) exit(p place, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queues[p]
	if q.users--; q.users > 0 {
		return
	}
	if d := q.refill(now); d > 0 {
		time.AfterFunc(d, func() { r.forget(p, q) })
		return
	}
	delete(r.queues, p)
}

func (r *RateLimit) forget(p place, q *queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.users == 0 && r.queues[p] == q {
		delete(r.queues, p)
	}
}

// leastBurst bounds into how many pieces a charge is cut, see take.
const leastBurst = 1 << 10

func newQueue(messages, bytes Rate) *queue {
	if bytes.Burst == 0 {
		bytes.Burst = int(bytes.PerSecond)
	}
	bytes.Burst = max(bytes.Burst, leastBurst)
	return &queue{messages: messages.limiter(), bytes: bytes.limiter()}
}

// limiter is a full bucket; nil is no limit.
func (r Rate) limiter() *rate.Limiter {
	if r.PerSecond <= 0 {
		return nil
	}
	burst := r.Burst
	if burst <= 0 {
		burst = int(r.PerSecond)
	}
	return rate.NewLimiter(rate.Limit(r.PerSecond), max(burst, 1))
}
