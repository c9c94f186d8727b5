package main

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/nsreactor/nsreactor/engine"
)

// accessLog is a stats.Handler that logs calls. Of a connection it is told the addresses
// only, of which the local one knows its namespace.
type accessLog struct{ *slog.Logger }

// TagConn puts the namespace into the context of all that happens on a connection.
func (accessLog) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	if ns, ok := engine.NamespaceOfAddr(info.LocalAddr); ok {
		return engine.WithNamespace(ctx, ns)
	}
	return ctx
}

// HandleConn has nothing to log.
func (accessLog) HandleConn(context.Context, stats.ConnStats) {}

type methodKey struct{}

// TagRPC keeps a call's name for HandleRPC.
func (accessLog) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, methodKey{}, info.FullMethodName)
}

// HandleRPC logs a call at its end.
func (l accessLog) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	if !ok {
		return
	}
	ns, ok := engine.NamespaceFromContext(ctx)
	if !ok {
		return
	}
	l.Info("call", "netns", ns.Name(), "method", ctx.Value(methodKey{}), "code", status.Code(end.Error).String(),
		"took", end.EndTime.Sub(end.BeginTime))
}
