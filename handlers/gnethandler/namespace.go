package gnethandler

import (
	"errors"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
)

// placed is a gnet.Conn of a Handler.
type placed interface {
	namespace() *engine.Namespace
	enter() error
}

func (c *conn) namespace() *engine.Namespace { return c.ec.Namespace() }

func (c *conn) enter() error { return c.ec.Enter() }

// Namespace is the namespace of a connection, or of the socket that a datagram
// came to; nil for a Conn that is not of a [Handler]. Any goroutine may call it.
func Namespace(c gnet.Conn) *engine.Namespace {
	if c, ok := c.(placed); ok {
		return c.namespace()
	}
	return nil
}

// errForeign is a gnet.Conn that is not of a Handler.
var errForeign = errors.New("gnethandler: not a connection of this package")

// Enter brings the loop's thread into a connection's namespace until the
// callback returns, for a handler that is registered with
// [engine.AnyNamespace]; see [engine.Conn.Enter].
func Enter(c gnet.Conn) error {
	if c, ok := c.(placed); ok {
		return c.enter()
	}
	return errForeign
}
