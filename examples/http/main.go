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
	"log/slog"
	"net/http"
	"os"
	"os/signal"
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
	var cfg config
	flag.IntVar(&cfg.port, "port", 8080, "TCP `port` to serve in every namespace")
	flag.StringVar(&cfg.netns, "netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	flag.StringVar(&cfg.dir, "netns-dir", nsctx.NamedDir, "`directory` of the names")
	flag.StringVar(&cfg.admin, "admin", "", "`address` of the endpoint for Prometheus, such as 127.0.0.1:9100; '' is none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, cfg, slog.Default()); err != nil {
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
	}
}

// serve answers requests until ctx ends, then lets those under way finish for as long
// as a drain takes.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
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
