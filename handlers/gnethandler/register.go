package gnethandler

import (
	"context"
	"net"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
)

// registration is a connection that was asked for with Register. It is the
// engine's connection's context until OnOpen.
type registration struct {
	ctx    any // what gnet.NewContext carries
	result chan gnet.RegisteredResult
}

// Register connects, in the namespace of the connection that the loop was asked
// of, to an address of the network "tcp" or "unix", and has the Handler serve the
// connection on this loop. The channel gets the Conn when OnOpen has returned, or
// what went wrong, such as an [engine.ErrBadDial], and is closed. Any goroutine
// may call it.
func (l *eventLoop) Register(ctx context.Context, addr net.Addr) (<-chan gnet.RegisteredResult, error) {
	if addr == nil {
		return nil, gneterrors.ErrInvalidNetworkAddress
	}
	r := &registration{gnet.FromContext(ctx), make(chan gnet.RegisteredResult, 1)}
	taken := l.ec.Call(func(ec *engine.Conn) {
		if _, err := ec.Dial(addr.Network(), addr.String(), l.h, engine.WithContext(r)); err != nil {
			r.end(nil, err)
		}
	})
	if !taken {
		return nil, gneterrors.ErrEngineInShutdown
	}
	return r.result, nil
}

// end is the answer.
func (r *registration) end(c gnet.Conn, err error) {
	r.result <- gnet.RegisteredResult{Conn: c, Err: err}
	close(r.result)
}

// registrationOf is what a connection was asked for with; nil if it was
// accepted.
func registrationOf(ec *engine.Conn) *registration {
	r, _ := ec.Context().(*registration)
	return r
}
