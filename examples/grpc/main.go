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
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait for the drain
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is main with all it needs, and returns the exit code: 2 for what is wrong with
// the arguments, 1 for everything else.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("grpc", flag.ContinueOnError)
	flags.SetOutput(stderr)
	port := flags.Int("port", 50051, "TCP `port` to serve in every namespace")
	netns := flags.String("netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	dir := flags.String("netns-dir", nsctx.NamedDir, "`directory` of the names")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // flags has said why
	case flags.NArg() > 0:
		err = fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	default:
		err = serve(ctx, slog.New(slog.NewTextHandler(stderr, nil)), *port, *dir, *netns)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "grpc:", err)
	if errors.Is(err, errUsage) || errors.Is(err, engine.ErrBadHandle) || errors.Is(err, path.ErrBadPattern) {
		return 2
	}
	return 1
}

var errUsage = errors.New("wrong arguments")

// serve answers until ctx ends, then lets calls finish for as long as a drain takes.
func serve(ctx context.Context, log *slog.Logger, port int, dir, netns string) error {
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root (%w)", err)
	}
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
