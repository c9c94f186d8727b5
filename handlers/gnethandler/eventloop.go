package gnethandler

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
)

// eventLoop is the loop of a connection, as it sees it. It is the connection
// under another name, so that asking for it allocates nothing; two connections
// of one loop have different ones.
type eventLoop conn

// packetLoop is the loop of a packet's socket, likewise.
type packetLoop packet

var (
	_ gnet.EventLoop = (*eventLoop)(nil)
	_ gnet.EventLoop = (*packetLoop)(nil)
)

// EventLoop is the connection's loop. Any goroutine may call it.
func (c *conn) EventLoop() gnet.EventLoop { return (*eventLoop)(c) }

// Execute has the runnable run on the loop, with the thread where a callback of
// the connection would find it. If the runnable returns gnet's
// ErrEngineShutdown, that is a Shutdown; its other errors are ignored.
func (l *eventLoop) Execute(ctx context.Context, runnable gnet.Runnable) error {
	return execute(ctx, runnable, l.h, (*conn)(l).call)
}

// Execute is that of a connection's loop.
func (l *packetLoop) Execute(ctx context.Context, runnable gnet.Runnable) error {
	return execute(ctx, runnable, l.h, (*packet)(l).call)
}

func execute(ctx context.Context, runnable gnet.Runnable, h *Handler, call func(func()) error) error {
	if runnable == nil {
		return gneterrors.ErrNilRunnable
	}
	return call(func() {
		if err := runnable.Run(ctx); errors.Is(err, gneterrors.ErrEngineShutdown) {
			h.shutdown()
		}
	})
}

// Close closes a connection at once: OnClose has been called when it returns. It
// is for connections of this loop. A packet's is left alone, as on gnet; a Conn of
// another making is gnet's ErrInvalidNetConn.
func (l *eventLoop) Close(c gnet.Conn) error { return closeNow(c) }

// Close is that of a connection's loop.
func (l *packetLoop) Close(c gnet.Conn) error { return closeNow(c) }

func closeNow(c gnet.Conn) error {
	switch c := c.(type) {
	case *conn:
		c.end(nil)
	case *packet:
	default:
		return gneterrors.ErrInvalidNetConn
	}
	return nil
}

// Register fails: there is no connection to start from.
func (*packetLoop) Register(context.Context, net.Addr) (<-chan gnet.RegisteredResult, error) {
	return nil, gneterrors.ErrUnsupportedOp
}

// Enroll fails: the engine serves what it accepts.
func (*eventLoop) Enroll(context.Context, net.Conn) (<-chan gnet.RegisteredResult, error) {
	return nil, gneterrors.ErrUnsupportedOp
}

// Enroll fails: the engine serves what it accepts.
func (*packetLoop) Enroll(context.Context, net.Conn) (<-chan gnet.RegisteredResult, error) {
	return nil, gneterrors.ErrUnsupportedOp
}

// Schedule fails, as it does on gnet.
func (*eventLoop) Schedule(context.Context, gnet.Runnable, time.Duration) error {
	return gneterrors.ErrUnsupportedOp
}

// Schedule fails, as it does on gnet.
func (*packetLoop) Schedule(context.Context, gnet.Runnable, time.Duration) error {
	return gneterrors.ErrUnsupportedOp
}
