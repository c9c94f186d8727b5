// Command grpc is a gRPC server in many network namespaces at once, on one port and in
// one process, now and as they come and go:
//
//	grpc -port 50051 -netns 'tenant-*'
//
// It serves the health service of gRPC (grpc.health.v1), which says of the namespace
// that the client called in whether it is served. It is a module of its own, so that
// gRPC is none of nsreactor's dependencies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

func main() {
	port := flag.Int("port", 50051, "TCP `port` to serve in every namespace")
	netns := flag.String("netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	dir := flag.String("netns-dir", nsctx.NamedDir, "`directory` of the names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, slog.Default(), *port, *dir, *netns); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

// serve answers until ctx ends, then lets calls finish for as long as a drain takes.
func serve(ctx context.Context, log *slog.Logger, port int, dir, netns string) error {
	eng, err := engine.New(engine.Config{Loops: 1, KeepMaxProcs: true, Logger: log}) // it only accepts
	if err != nil {
		return err
	}
	listener, err := eng.Listener(port)
	if err != nil {
		return errors.Join(err, eng.Shutdown(ctx))
	}
	srv := grpc.NewServer(grpc.Creds(Namespaced{insecure.NewCredentials()}), grpc.StatsHandler(accessLog{log}))
	grpc_health_v1.RegisterHealthServer(srv, health{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(listener) }) // fails when the engine shuts down, and only then
	defer serving.Wait()
	defer srv.Stop()

	if err := eng.Watch(dir, engine.Match(netns)); err != nil {
		return errors.Join(err, eng.Shutdown(ctx))
	}
	log.Info("ready")
	context.AfterFunc(ctx, srv.GracefulStop) // asks the clients to go, while Run drains
	return eng.Run(ctx)
}
