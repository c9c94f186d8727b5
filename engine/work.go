package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Work is something that blocks, or takes long, and is done for a connection off
// its loop; see [Conn.Go].
type Work struct {
	// Run does it, on a goroutine of the engine's pool. Its context ends when
	// the connection does, when Timeout is over, or when the engine stops. What
	// it finds out it leaves where Done finds it.
	Run func(context.Context) error
	// Done is called with Run's error when Run has returned, on the
	// connection's loop, as a callback is. If the context ended before Run
	// could begin, the error is the context's; if it wanted the namespace and could
	// not have it, an [ErrSwitch]. Done may be nil.
	Done func(*Conn, error)
	// Dropped is called instead of Done if the connection is gone, or has to go
	// because of the work, with the reason: an [ErrClosed], [ErrStopped],
	// [ErrPanic] or [ErrWorkStuck]. Run has returned by then. Any goroutine
	// may be the one that calls it. It may be nil.
	Dropped func(error)
	// InOrder has Done wait for that of the connection's earlier works that
	// are InOrder too. Their Runs overlap all the same.
	InOrder bool
	// InNamespace has Run's thread in the connection's namespace; goroutines
	// that it starts are at home. It costs some tens of microseconds.
	InNamespace bool
	// Timeout is how long the work may wait and run. Default:
	// Config.WorkTimeout. A Run that goes on for Config.StallAfter longer is
	// stuck: its connection ends with ErrWorkStuck, and another goroutine takes
	// its place in the pool.
	Timeout time.Duration
}

// Go has work done off the loop. It belongs to the connection's callbacks. At
// most Config.Workers of an engine run at once; namespaces that have work
// waiting take turns. If Config.WorkQueue of the namespace wait, nothing is taken
// and the error is an [ErrBusy]; from half of that on, the connection is not read
// until its own work is done. Other errors are [ErrClosed] and [ErrStopped].
//
// A Close waits for work that is under way: its Done is called, and may write. A
// Run that panics ends its connection with a [*PanicError].
func (c *Conn) Go(w Work) error {
	if !c.open() && !c.finishing() {
		return c.error("work", ErrClosed)
	}
	l := c.loop
	x := c.needExtras()
	if x.work.ctx == nil {
		x.work.ctx, x.work.cancel = context.WithCancelCause(l.eng.background)
	}
	if w.Timeout <= 0 {
		w.Timeout = l.eng.cfg.WorkTimeout
	}
	j := &job{Work: w, conn: c, parent: x.work.ctx, due: later(l.eng.clock(), int64(w.Timeout))}
	crowded, err := l.eng.pool.add(j)
	if err != nil {
		if errors.Is(err, ErrBusy) {
			c.ep.cell.errors[ErrorBusy].inc()
		}
		return c.error("work", err)
	}
	x.work.open++
	if w.InOrder {
		x.work.ordered = append(x.work.ordered, j)
	}
	if w.InNamespace {
		c.ep.cell.inside.inc()
	}
	if crowded {
		c.pause |= pausedByWork
		l.markDirty(c)
	}
	return nil
}

// works are what a connection has under way.
type works struct {
	ctx     context.Context // ends with the connection; nil before its first work
	cancel  context.CancelCauseFunc
	open    int    // how many
	ordered []*job // those of them whose order matters, the earliest first
	close   bool   // Close when there are none
	telling bool   // Done is called: a Close that comes now is to wait
}

// finishing reports whether a Close waits for work, whose Done may still write.
func (c *Conn) finishing() bool {
	return c.extra != nil && (c.extra.work.close || c.extra.work.telling)
}

// job is a work on its way.
type job struct {
	Work
	conn   *Conn
	parent context.Context
	due    int64 // in the engine's clock
	state  atomic.Uint32
	err    error // Run's

	queued, began int64 // the pool's
	ready         bool  // the loop's: Run has returned
}

// A job's states. Either its worker or the watchdog takes it on from jobRunning.
const (
	jobRunning uint32 = iota // or waiting
	jobReturned
	jobStuck
)

// do runs the work, and makes an error of a panic in it.
func (j *job) do() {
	defer func() {
		if value := recover(); value != nil {
			j.err = panicError(value)
		}
	}()
	ctx, cancel := context.WithDeadline(j.parent, j.conn.loop.eng.timeAt(j.due))
	defer cancel()
	switch {
	case ctx.Err() != nil:
		j.err = context.Cause(ctx)
	case j.InNamespace:
		j.err = j.doInside(ctx)
	default:
		j.err = j.Run(ctx)
	}
}

// doInside is Run with its thread in the namespace, or not at all.
func (j *job) doInside(ctx context.Context) error {
	entered := false
	err := j.conn.Namespace().do(func() error {
		entered = true
		return j.Run(ctx)
	})
	if err != nil && !entered {
		return fmt.Errorf("%w: %w", ErrSwitch, err)
	}
	return err
}

// panicError is a panic as the error that its connection ends with.
func panicError(value any) *PanicError {
	var inside *nsctx.PanicError
	if err, ok := value.(error); ok && errors.As(err, &inside) {
		return &PanicError{Value: inside.Value, Stack: inside.Stack}
	}
	return &PanicError{Value: value, Stack: debug.Stack()}
}

// drop is the end of work whose result nobody takes, on any goroutine. There may be no
// connection any more to pay for a panic.
func (j *job) drop(reason error) {
	if j.Dropped == nil {
		return
	}
	defer func() {
		if value := recover(); value != nil {
			j.conn.loop.eng.log.Error("work panicked when it was dropped", "netns", j.conn.Namespace().Name(),
				"port", j.conn.Port(), "panic", value, "stack", string(debug.Stack()))
		}
	}()
	j.Dropped(reason)
}

// finishWork is what the loop does when a Run has returned, or was given up on.
func (l *loop) finishWork(j *job) {
	c := j.conn
	w := &c.extra.work
	w.open--
	j.ready = true
	w.telling = true
	if !j.InOrder {
		l.guard(func() { l.deliver(j) })
	}
	l.deliverOrdered(w)
	w.telling = false
	if c.stage == stageClosed {
		return
	}
	if c.pause&pausedByWork != 0 && w.open == 0 {
		c.pause &^= pausedByWork
		c.wantData = c.hasNews()
		l.runAgain(c)
	}
	if w.close && w.open == 0 {
		w.close = false
		l.shut(c)
	}
}

// deliverOrdered delivers the works whose turn it is, and goes on also if a handler ends
// the goroutine: nobody else would.
func (l *loop) deliverOrdered(w *works) {
	if len(w.ordered) == 0 || !w.ordered[0].ready {
		return
	}
	first := w.ordered[0]
	w.ordered[0] = nil
	w.ordered = w.ordered[1:]
	defer l.deliverOrdered(w)
	l.guard(func() { l.deliver(first) })
}

// deliver tells the handler how its work has ended, or ends the connection.
func (l *loop) deliver(j *job) {
	c := j.conn
	stuck := j.state.Load() == jobStuck
	if j.InNamespace && !stuck {
		c.ep.cell.inside.dec()
	}
	var panicked *PanicError
	switch {
	case stuck && c.stage != stageClosed:
		c.ep.cell.errors[ErrorWorkStuck].inc()
		l.destroy(c, c.error("work", ErrWorkStuck))
	case stuck: // it is dropped when it ends
	case c.stage != stageOpen:
		l.running = c // a panic in it is the handler's
		j.drop(c.error("work", ErrClosed))
		l.running = nil
	case errors.As(j.err, &panicked):
		c.ep.cell.errors[ErrorPanic].inc()
		l.eng.log.Error("work panicked; its connection is closed", "netns", c.ep.cell.ns.Name(), "port", c.ep.svc.port,
			"peer", c.peer, "panic", panicked.Value, "stack", string(panicked.Stack))
		err := c.error("work", panicked)
		l.destroy(c, err)
		l.running = c
		j.drop(err)
		l.running = nil
	case j.Done != nil:
		if errors.Is(j.err, ErrSwitch) {
			c.ep.cell.errors[ErrorSwitch].inc()
		}
		l.runCall(c, func(c *Conn) { j.Done(c, j.err) })
	}
}
