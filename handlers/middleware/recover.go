package middleware

import (
	"runtime/debug"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// Recover has a say when the handler inside panics. Without it a panic is logged and costs
// the connection, which is reset.
//
// It sees the panics of callbacks, not those of functions that were given to Call,
// AfterFunc, ReadInto or Go.
type Recover struct {
	// Hook is told what the handler panicked with, and the stack of that moment. It may
	// write a last reply and call [engine.Conn.CloseWith]. If it returns true, the panic
	// is over: the connection ends, or goes on, as the Hook has it. Otherwise the engine
	// does as without it. In OnClose there is nothing left to end.
	Hook func(c *engine.Conn, value any, stack []byte) (done bool)

	panics, handled atomic.Uint64
}

// RecoverStats is what a Recover has seen.
type RecoverStats struct {
	Panics  uint64
	Handled uint64 // of them, those that the Hook has dealt with
}

// Stats may be called by any goroutine.
func (r *Recover) Stats() RecoverStats { return RecoverStats{r.panics.Load(), r.handled.Load()} }

// Counters are the Stats, for metrics.
func (r *Recover) Counters() []tally.Sample {
	const help = "Panics of the handler's callbacks, by whether the hook or the engine has dealt with them."
	s := r.Stats()
	return []tally.Sample{
		tally.Count("recovered_panics_total", help, s.Handled).By("by", "hook"),
		tally.Count("recovered_panics_total", help, s.Panics-s.Handled).By("by", "engine"),
	}
}

// Wrap is a [Middleware].
func (r *Recover) Wrap(h engine.Handler) engine.Handler { return &recovering{Base{h}, r} }

type recovering struct {
	Base
	*Recover
}

// catch is deferred around each callback. To panic once more from here keeps the stack as
// the engine is to log it.
func (r *Recover) catch(c *engine.Conn) {
	value := recover()
	if value == nil {
		return
	}
	r.panics.Add(1)
	if r.Hook == nil || !r.Hook(c, value, debug.Stack()) {
		panic(value)
	}
	r.handled.Add(1)
}

func (r *recovering) OnOpen(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnOpen(c)
}

func (r *recovering) OnData(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnData(c)
}

func (r *recovering) OnReadEOF(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnReadEOF(c)
}

func (r *recovering) OnWritable(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnWritable(c)
}

func (r *recovering) OnWake(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnWake(c)
}

func (r *recovering) OnTimer(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnTimer(c)
}

func (r *recovering) OnDrain(c *engine.Conn) {
	defer r.catch(c)
	r.Handler.OnDrain(c)
}

func (r *recovering) OnClose(c *engine.Conn, err error) {
	defer r.catch(c)
	r.Base.OnClose(c, err)
}
