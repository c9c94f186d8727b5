package gnethandler

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/nsreactor/nsreactor/engine"
)

func notServed(why string) error {
	return fmt.Errorf("gnethandler: %w: %s", ErrNotServed, why)
}

// cause puts the end of a connection into gnet's terms: what the kernel said to
// a read or write is an os.SyscallError. What only the engine knows, such as
// engine.ErrIdle, stays as it is.
func cause(err error) error {
	e, ok := errors.AsType[*engine.Error](err)
	if ok && (e.Op == "read" || e.Op == "write") && !errors.Is(e.Err, engine.ErrOverflow) {
		return os.NewSyscallError(e.Op, e.Err)
	}
	return err
}

// late is what gnet says of a call that comes too late.
func late(err error) error {
	if errors.Is(err, engine.ErrClosed) {
		return net.ErrClosed
	}
	return err
}
