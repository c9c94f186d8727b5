package engine

import (
	"slices"
	"time"
)

// Timer is a call that [Conn.AfterFunc] has arranged. Its methods belong to the
// callbacks of its connection.
type Timer struct {
	timer timer
	conn  *Conn
	f     func(*Conn)
}

// AfterFunc calls f once, in d, as a callback is: on the connection's loop and in its
// namespace. A connection may have any number of these, apart from the one timer of
// SetTimer, which a handler that wraps another leaves to that one. It is kept to the
// millisecond, and never early. f is not called on a connection that is closed, closing,
// or dialed and not open yet.
func (c *Conn) AfterFunc(d time.Duration, f func(c *Conn)) *Timer {
	t := &Timer{conn: c, f: f}
	t.timer.fire = t.fire
	t.Reset(d)
	return t
}

// Reset has the function called, again or at another time, in d.
func (t *Timer) Reset(d time.Duration) {
	c := t.conn
	if c.stage == stageClosed || c.broken {
		return
	}
	if x := c.needExtras(); t.timer.index == 0 && !slices.Contains(x.alarms, t) {
		x.alarms = append(x.alarms, t)
	}
	c.loop.timers.set(&t.timer, later(c.loop.eng.clock(), int64(max(d, 0))))
}

// Stop has the function not called. It reports whether it would have been.
func (t *Timer) Stop() bool {
	armed := t.timer.index != 0
	t.conn.loop.timers.remove(&t.timer)
	t.forget()
	return armed
}

// forget takes the timer off its connection's list.
func (t *Timer) forget() {
	if x := t.conn.extra; x != nil {
		x.alarms = slices.DeleteFunc(x.alarms, func(other *Timer) bool { return other == t })
	}
}

func (t *Timer) fire(l *loop) {
	c := t.conn
	t.forget()
	if c.broken {
		return
	}
	l.guard(func() {
		l.show(c.ep)
		l.tell(c, func(_ Handler, c *Conn) { t.f(c) })
		l.settle(c)
		l.leave()
	})
}

// dropAlarms disarms what a connection's end has overtaken.
func (l *loop) dropAlarms(c *Conn) {
	if c.extra == nil {
		return
	}
	for _, t := range c.extra.alarms {
		l.timers.remove(&t.timer)
	}
	c.extra.alarms = nil
}

// Now is the time by the clock that timers go by, to measure with: handlertest moves it.
// Any goroutine may call it.
func (c *Conn) Now() time.Time {
	e := c.loop.eng
	return e.epoch.Add(time.Duration(e.clock()))
}
