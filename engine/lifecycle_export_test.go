package engine

import "github.com/nsreactor/nsreactor/nsctx"

// What the lifecycle tests, which see the engine from outside, need to see or
// break inside.

// BreakHandle closes the descriptor by which the engine enters the namespace,
// so that every later setns(2) into it fails.
func (ns *Namespace) BreakHandle() error { return ns.nsc.Close() }

// Snapshot is the namespace's statistics, also when the engine no longer lists
// it.
func (ns *Namespace) Snapshot() NamespaceStats { return ns.stats() }

// Turn numbers the turns of the connection's loop. It is for callbacks.
func (c *Conn) Turn() uint64 { return c.loop.stats.turns.load() }

// Switches is how many setns(2) calls the connection's loop has made. It is
// for callbacks.
func (c *Conn) Switches() uint64 { return c.loop.thread.Stats().Switches }

// OnControl runs f on the control goroutine, which attaches and drains.
func (e *Engine) OnControl(f func()) error { return e.control.do(func(*control) { f() }) }

// AttachOnControl is Attach for a function that OnControl runs.
func (e *Engine) AttachOnControl(ref nsctx.Ref) (*Namespace, error) { return e.control.attach(ref) }

// ControlQueue is how many functions wait for the control goroutine.
func (e *Engine) ControlQueue() int {
	e.control.mu.Lock()
	defer e.control.mu.Unlock()
	return len(e.control.queue)
}

// OnLoop runs f on a loop, after what was posted before.
func (e *Engine) OnLoop(index int, f func()) {
	done := make(chan struct{})
	e.loops[index].post(task{kind: taskLoop, run: func(*loop) { defer close(done); f() }})
	<-done
}
