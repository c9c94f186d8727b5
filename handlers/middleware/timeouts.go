package middleware

import (
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// Timeouts end connections that take too long. A zero duration is no timeout.
type Timeouts struct {
	// Idle ends a connection on which nothing moved for so long, with [engine.ErrIdle].
	// It is what the handler's own SetIdleTimeout changes.
	Idle time.Duration
	// First is how long the first message may take, or a protocol's handshake: it ends
	// with [ErrFirst] a connection of which the handler, so long after OnOpen, has
	// consumed nothing. That is what tells a complete message: handlers leave
	// what is not complete unread. One that does not (by ReadInto, say) or whose handshake
	// is several messages calls [Established].
	First time.Duration
	// Explicit leaves it to Established alone to say that First is over.
	Explicit bool
	// Total ends a connection that is open for so long, with [ErrTotal].
	Total time.Duration

	first, total atomic.Uint64
}

// TimeoutsStats is what Timeouts have ended. The idle ones are among the engine's, as
// [engine.ErrorIdle].
type TimeoutsStats struct{ First, Total uint64 }

// Stats may be called by any goroutine.
func (t *Timeouts) Stats() TimeoutsStats { return TimeoutsStats{t.first.Load(), t.total.Load()} }

// Counters are the Stats, for metrics.
func (t *Timeouts) Counters() []tally.Sample {
	const help = "Connections ended because they took too long, by which timeout."
	s := t.Stats()
	return []tally.Sample{
		tally.Count("timeouts_total", help, s.First).By("timeout", "first"),
		tally.Count("timeouts_total", help, s.Total).By("timeout", "total"),
	}
}

// Established says that a connection's first message has come or its handshake is
// complete: Timeouts.First is over. It belongs to the connection's callbacks.
func Established(c *engine.Conn) {
	for w := awaitedOf(c); w != nil; w = w.outer {
		w.end()
	}
}

// awaitedKey is the connection's value that is its awaited.
var awaitedKey = new(struct{ _ byte })

// awaited is a first message that has not come yet.
type awaited struct {
	by    *timing
	timer *engine.Timer // nil when it has
	outer *awaited      // of other Timeouts, further outside
}

func awaitedOf(c *engine.Conn) *awaited {
	w, _ := c.Value(awaitedKey).(*awaited)
	return w
}

func (w *awaited) end() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// Wrap is a [Middleware].
func (t *Timeouts) Wrap(h engine.Handler) engine.Handler { return &timing{Base{h}, t} }

type timing struct {
	Base
	*Timeouts
}

func (t *timing) OnOpen(c *engine.Conn) {
	if t.Idle > 0 {
		c.SetIdleTimeout(t.Idle)
	}
	if t.Total > 0 {
		c.AfterFunc(t.Total, func(c *engine.Conn) { t.expire(c, &t.total, ErrTotal) })
	}
	if t.First > 0 {
		timer := c.AfterFunc(t.First, func(c *engine.Conn) { t.expire(c, &t.first, ErrFirst) })
		c.SetValue(awaitedKey, &awaited{by: t, timer: timer, outer: awaitedOf(c)})
	}
	t.Handler.OnOpen(c)
}

func (t *timing) expire(c *engine.Conn, count *atomic.Uint64, reason error) {
	count.Add(1)
	c.Fail(reason)
}

func (t *timing) OnData(c *engine.Conn) {
	w := t.awaited(c)
	if w == nil {
		t.Handler.OnData(c)
		return
	}
	before := c.Buffered()
	t.Handler.OnData(c)
	if c.Buffered() < before {
		w.end()
	}
}

// awaited is what t still waits for; nil is nothing.
func (t *timing) awaited(c *engine.Conn) *awaited {
	if t.Explicit || t.First <= 0 {
		return nil
	}
	for w := awaitedOf(c); w != nil; w = w.outer {
		if w.by == t && w.timer != nil {
			return w
		}
	}
	return nil
}
