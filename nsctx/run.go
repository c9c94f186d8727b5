package nsctx

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// PanicError is what RunLocked and Do panic with in their caller when the function
// that they ran has panicked on its own goroutine.
type PanicError struct {
	Value any    // what the function panicked with
	Stack []byte // where, as debug.Stack formats it
}

// Error returns the value and the stack.
func (p *PanicError) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Unwrap returns the value if it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// RunLocked runs f on a new goroutine that is locked to an OS thread, never the
// main one, and returns when f has ended. f must not call Release. Afterwards
// the thread is at home and free for other goroutines, or has died; the error
// says that f could not be started, or that the thread could not go home. A
// panic in f is raised again in the caller as a [*PanicError], and
// runtime.Goexit in f ends the caller too.
func RunLocked(f func(*Thread)) error {
	startErr, homeErr := runLocked(f)
	if startErr != nil {
		return startErr
	}
	return homeErr
}

func runLocked(f func(*Thread)) (startErr, homeErr error) {
	r := run{f: f, done: make(chan struct{})}
	offMain(r.main)
	<-r.done
	switch {
	case r.panicked != nil:
		panic(r.panicked)
	case r.exited:
		runtime.Goexit()
	}
	return r.startErr, r.homeErr
}

// run is one call of RunLocked, written by its goroutine until done is closed.
type run struct {
	f                 func(*Thread)
	startErr, homeErr error
	panicked          *PanicError
	exited            bool // by runtime.Goexit
	done              chan struct{}
}

// main needs its goroutine locked.
func (r *run) main() {
	defer close(r.done)
	t, err := newThread()
	if err != nil {
		r.startErr = &Error{Op: "lock thread", Err: err}
		runtime.UnlockOSThread()
		return
	}
	r.exited = true
	defer func() {
		if v := recover(); v != nil {
			r.exited, r.panicked = false, &PanicError{Value: v, Stack: debug.Stack()}
		}
		r.homeErr = t.Release()
	}()
	r.f(t)
	r.exited = false
}
