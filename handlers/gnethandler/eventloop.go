package gnethandler

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
)

// eventLoop is the loop of a connection, as it sees it. It is the connection
// under another name, so that asking for it allocates nothing; two connections
// of one loop have different ones.
type eventLoop conn

var _ gnet.EventLoop = (*eventLoop)(nil)

// EventLoop is the connection's loop. Any goroutine may call it.
func (c *conn) EventLoop() gnet.EventLoop { return (*eventLoop)(c) }

// Execute has the runnable run on the loop, with the thread where a callback of
// the connection would find it. If the runnable returns gnet's
// ErrEngineShutdown, that is a Shutdown; its other errors are ignored.
func (l *eventLoop) Execute(ctx context.Context, runnable gnet.Runnable) error {
	if runnable == nil {
		return gneterrors.ErrNilRunnable
	}
	taken := l.ec.Call(func(*engine.Conn) {
		if err := runnable.Run(ctx); errors.Is(err, gneterrors.ErrEngineShutdown) {
			l.h.shutdown()
		}
	})
	if !taken {
		return gneterrors.ErrEngineInShutdown
	}
	return nil
}

// Close closes a connection of this loop at once: OnClose has been called when
// it returns. Call it on the loop. A Conn of another making is gnet's
// ErrInvalidNetConn.
func (l *eventLoop) Close(gc gnet.Conn) error {
	c, ok := gc.(*conn)
	if !ok {
		return gneterrors.ErrInvalidNetConn
	}
	c.end(nil)
	return nil
}

// Enroll fails: the engine serves what it accepts.
func (*eventLoop) Enroll(context.Context, net.Conn) (<-chan gnet.RegisteredResult, error) {
	return nil, gneterrors.ErrUnsupportedOp
}

// Schedule fails, as it does on gnet.
func (*eventLoop) Schedule(context.Context, gnet.Runnable, time.Duration) error {
	return gneterrors.ErrUnsupportedOp
}
