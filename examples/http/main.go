// Command http is a net/http server in many network namespaces at once, on one port and
// in one process, now and as they come and go:
//
//	http -port 8080 -netns 'tenant-*' -admin 127.0.0.1:9100
//
// Each request is answered with the namespace that it came in.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path"
	"sync"
	"syscall"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// config is the command line.
type config struct {
	port              int
	netns, dir, admin string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait for the drain
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is main with all it needs, and returns the exit code: 2 for what is wrong with
// the arguments, 1 for everything else.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	var cfg config
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&cfg.port, "port", 8080, "TCP `port` to serve in every namespace")
	flags.StringVar(&cfg.netns, "netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	flags.StringVar(&cfg.dir, "netns-dir", nsctx.NamedDir, "`directory` of the names")
	flags.StringVar(&cfg.admin, "admin", "", "`address` of the endpoint for Prometheus, such as 127.0.0.1:9100; '' is none")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // flags has said why
	case flags.NArg() > 0:
		err = fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	default:
		err = serve(ctx, cfg, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "http:", err)
	for _, wrong := range []error{errUsage, engine.ErrBadHandle, path.ErrBadPattern, metrics.ErrBadAddress, metrics.ErrNotLoopback} {
		if errors.Is(err, wrong) {
			return 2
		}
	}
	return 1
}

var errUsage = errors.New("wrong arguments")

// serve answers requests until ctx ends, then lets those under way finish for as long
// as a drain takes.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root (%w)", err)
	}
	eng, err := engine.New(engine.Config{Loops: 1, KeepMaxProcs: true, Logger: log}) // it only accepts
	if err != nil {
		return err
	}
	listener, err := eng.Listener(cfg.port)
	if err != nil {
		return errors.Join(err, eng.Shutdown(ctx))
	}
	srv := &http.Server{
		Handler:     http.HandlerFunc(greet),
		ConnContext: engine.ConnContext,
		ConnState:   new(farewell).connState,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(listener) }) // fails when the engine shuts down, and only then
	defer serving.Wait()
	defer srv.Close()

	if cfg.admin != "" {
		admin, err := metrics.Serve(cfg.admin, eng, metrics.AdminOptions{Logger: log})
		if err != nil {
			return errors.Join(err, eng.Shutdown(ctx))
		}
		defer func() { _ = admin.Close(context.Background()) }() // waits for answers under way
		admin.SetReady(true)
		log.Info("admin endpoint", "addr", admin.Addr().String())
	}
	if err := eng.Watch(cfg.dir, engine.Match(cfg.netns)); err != nil {
		return errors.Join(err, eng.Shutdown(ctx))
	}
	log.Info("ready")
	return eng.Run(ctx)
}

// greet says where the request has come in.
func greet(w http.ResponseWriter, r *http.Request) {
	ns, _ := engine.NamespaceFromContext(r.Context())
	fmt.Fprintf(w, "hello %s, this is %s\n", r.RemoteAddr, ns.Name())
}
