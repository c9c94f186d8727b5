package gnethandler

import (
	"errors"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
)

// Namespace is the namespace that a connection was accepted in; nil for a Conn
// that is not of a [Handler]. Any goroutine may call it.
func Namespace(c gnet.Conn) *engine.Namespace {
	if c, ok := c.(*conn); ok {
		return c.ec.Namespace()
	}
	return nil
}

// errForeign is a gnet.Conn that is not of a Handler.
var errForeign = errors.New("gnethandler: not a connection of this package")

// Enter brings the loop's thread into a connection's namespace until the
// callback returns, for a handler that is registered with
// [engine.AnyNamespace]; see [engine.Conn.Enter].
func Enter(c gnet.Conn) error {
	if c, ok := c.(*conn); ok {
		return c.ec.Enter()
	}
	return errForeign
}
