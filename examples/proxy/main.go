// Command proxy carries TCP connections from a port of every network namespace of a machine
// to one backend that only the machine's own namespace reaches. As root:
//
//	ip netns add blue
//	ip -n blue link set lo up
//	proxy -port 8080 -backend 192.0.2.1:80 -admin 127.0.0.1:9100 &
//	ip netns exec blue curl http://127.0.0.1:8080/
//
// With "-send-proxy 2" the backend learns who the client is and, since all tenants may use
// the same addresses, from which namespace. Namespaces may come and go meanwhile.
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
	"strings"
	"syscall"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/metrics"
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
	cfg, err := parse(args, stderr)
	if err == nil {
		err = serve(ctx, cfg, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case isUsage(err):
		fmt.Fprintln(stderr, "proxy:", err)
		return 2
	}
	fmt.Fprintln(stderr, "proxy:", err)
	return 1
}

// serve proxies until ctx ends.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
	proxy := handlers.Proxy{Network: "tcp", Address: cfg.backend, SendProxy: cfg.sendProxy}
	if file, ok := strings.CutPrefix(cfg.backend, "unix:"); ok {
		proxy.Network, proxy.Address = "unix", file
	}
	if err := engine.CheckDial(proxy.Network, proxy.Address); err != nil {
		return fmt.Errorf("-backend: %w", err)
	}
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root (%w)", err)
	}
	eng, err := engine.New(engine.Config{Logger: log, IdleTimeout: cfg.idle, DialTimeout: cfg.timeout, DrainTimeout: cfg.drain})
	if err != nil {
		return err
	}
	defer func() { _ = eng.Shutdown(ctx) }() // nothing is left to do after Run
	if proxy.In, err = eng.Home(); err != nil {
		return err
	}
	// Not Config.MaxConnsPerNamespace, which would hold for home too: all backends' are there.
	limits := &middleware.Limits{PerNamespace: cfg.max}
	accesses := &middleware.AccessLog{Logger: log}
	if err := eng.Handle("tcp", cfg.port, middleware.Chain(proxy, accesses.Wrap, limits.Wrap), engine.AnyNamespace); err != nil {
		return err
	}
	if cfg.admin != "" {
		admin, err := metrics.Serve(cfg.admin, eng, metrics.AdminOptions{Logger: log})
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close(context.Background()) }() // waits for answers under way
		admin.Registry().MustRegister(metrics.NewHandlerCollector("proxy", limits, accesses))
		admin.SetReady(true)
		log.Info("admin endpoint", "addr", admin.Addr().String())
	}
	if err := eng.Watch(cfg.dir, engine.Match(cfg.netns)); err != nil {
		return err
	}
	log.Info("ready")
	return eng.Run(ctx)
}
