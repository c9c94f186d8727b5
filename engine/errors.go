package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// What can be wrong with a call.
var (
	// ErrStopped is the error of a call on an engine that has shut down.
	ErrStopped = errors.New("engine stopped")
	// ErrBadHandle is a Handle call with a wrong network, port or handler.
	ErrBadHandle = errors.New("bad handler registration")
	// ErrBadConfig is a Config with a value out of range.
	ErrBadConfig = errors.New("bad config")
	// ErrNotAttached is a Detach of a namespace that isn't attached.
	ErrNotAttached = errors.New("namespace not attached")
	// ErrBadPath is a Send to or from where its socket can't send.
	ErrBadPath = errors.New("no way for a packet")
	// ErrBusy is a Go while too much work of the namespace waits.
	ErrBusy = errors.New("too much work waits")
	// ErrDescriptors is a process with too few descriptors for what is asked;
	// the message says how many there are.
	ErrDescriptors = errors.New("too few file descriptors")
)

// What can end a connection, or stop a write to it.
var (
	// ErrClosed is the error of a call on a connection that is closed or
	// closing.
	ErrClosed = errors.New("connection closed")
	// ErrNotReady is the error of a Wire.Read that would have to wait.
	ErrNotReady = errors.New("nothing to read yet")
	// ErrClosedNow ends a connection that CloseNow has reset.
	ErrClosedNow = errors.New("connection reset by CloseNow")
	// ErrIdle ends a connection on which nothing moved for its idle timeout.
	ErrIdle = errors.New("idle timeout")
	// ErrDeadline ends a connection at its deadline.
	ErrDeadline = errors.New("deadline exceeded")
	// ErrLinger ends a closing connection whose peer took none of the last
	// bytes, or did not close its half, for Config.LingerTimeout.
	ErrLinger = errors.New("peer did not take the last bytes in time")
	// ErrDrained ends a connection that was still open when its drain ended.
	ErrDrained = errors.New("still open at the end of the drain")
	// ErrOverflow is a Write beyond Config.WriteBufferMax. Nothing of it was
	// taken.
	ErrOverflow = errors.New("write buffer full")
	// ErrDetached ends a connection, for its handler, that Detach has turned
	// into a net.Conn. It is an ErrClosed.
	ErrDetached = fmt.Errorf("connection detached: %w", ErrClosed)
	// ErrNotDetachable is a Detach of a connection that has a filter or a ReadInto
	// under way, or that is not TCP.
	ErrNotDetachable = errors.New("connection can't be detached")
	// ErrSwitch ends a connection whose namespace could not be entered.
	ErrSwitch = errors.New("cannot enter namespace")
	// ErrPanic ends a connection whose handler panicked.
	ErrPanic = errors.New("handler panicked")
	// ErrWorkStuck ends a connection whose work did not return in time.
	ErrWorkStuck = errors.New("work did not return in time")
	// ErrStrayed says that a handler left its thread in another namespace.
	ErrStrayed = errors.New("handler left the thread in another namespace")
)

// Error is what failed, where. Err is one of the package's errors or a system
// call's; errors.Is and errors.As see it.
type Error struct {
	// Op is the operation: "listen", "accept", "read", "attach" …
	Op string
	// Namespace is the name of the namespace, "" if it is not about one.
	Namespace string
	// Addr is the address that it is about: the peer's for a connection, the
	// local one for a listener. It may be invalid.
	Addr netip.AddrPort
	// Err is the cause.
	Err error
}

// Error is "op namespace address: cause", without what is unknown.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("engine: " + e.Op)
	if e.Namespace != "" {
		fmt.Fprintf(&b, " netns %q", e.Namespace)
	}
	if e.Addr.IsValid() {
		b.WriteString(" " + e.Addr.String())
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// PanicError is a handler's panic as the error that its connection ends with.
// It is an [ErrPanic].
type PanicError struct {
	// Value is what the handler panicked with.
	Value any
	// Stack is the goroutine's stack at that moment.
	Stack []byte
}

// Error says what the handler panicked with.
func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap makes the error an ErrPanic, and the panic's own error if it was one.
func (e *PanicError) Unwrap() []error {
	if err, ok := e.Value.(error); ok {
		return []error{ErrPanic, err}
	}
	return []error{ErrPanic}
}
