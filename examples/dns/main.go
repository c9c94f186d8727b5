// Command dns forwards DNS queries from every network namespace of a machine to a server
// that only the machine's own namespace reaches: tenants resolve names without a route to
// anywhere. As root:
//
//	ip netns add blue
//	ip -n blue link set lo up
//	dns -upstream 9.9.9.9 -admin 127.0.0.1:9100 &
//	ip netns exec blue dig @127.0.0.1 example.com
//
// It forwards UDP packet by packet (forward.go), and TCP, for answers that are too long
// for that, as a proxy. Namespaces may come and go meanwhile.
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
	"syscall"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// config is the command line.
type config struct {
	port                        int
	netns, dir, admin, upstream string
	timeout                     time.Duration
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
	flags := flag.NewFlagSet("dns", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&cfg.port, "port", 53, "`port` to serve in every namespace, UDP and TCP")
	flags.StringVar(&cfg.netns, "netns", "*", "serve the namespaces whose names match this `glob`, now and later")
	flags.StringVar(&cfg.dir, "netns-dir", nsctx.NamedDir, "`directory` of the names")
	flags.StringVar(&cfg.admin, "admin", "", "`address` of the endpoint for Prometheus, such as 127.0.0.1:9100; '' is none")
	flags.StringVar(&cfg.upstream, "upstream", "", "`address` of the server to ask, with or without a port; '' is the first of /etc/resolv.conf")
	flags.DurationVar(&cfg.timeout, "timeout", 4*time.Second, "how long the server has for an answer")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // flags has said why
	case flags.NArg() > 0:
		err = fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	case cfg.timeout < time.Millisecond:
		err = fmt.Errorf("%w: -timeout %v is less than 1ms", errUsage, cfg.timeout)
	default:
		err = serve(ctx, cfg, slog.New(slog.NewTextHandler(stderr, nil)))
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "dns:", err)
	for _, wrong := range []error{errUsage, engine.ErrBadHandle, path.ErrBadPattern, metrics.ErrBadAddress, metrics.ErrNotLoopback} {
		if errors.Is(err, wrong) {
			return 2
		}
	}
	return 1
}

// maxStreams is how many TCP connections a namespace may have.
const maxStreams = 100

var errUsage = errors.New("wrong arguments")

// serve forwards until ctx ends.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
	upstream, err := findUpstream(cfg.upstream, "/etc/resolv.conf")
	if err != nil {
		return err
	}
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root (%w)", err)
	}
	eng, err := engine.New(engine.Config{Logger: log, IdleTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = eng.Shutdown(ctx) }() // nothing is left to do after Run
	home, err := eng.Home()
	if err != nil {
		return err
	}
	datagrams := &forwarder{home: home, upstream: upstream, timeout: cfg.timeout}
	limits := &middleware.Limits{PerNamespace: maxStreams}
	streams := limits.Wrap(handlers.Proxy{Address: upstream.String(), In: home, Timeout: cfg.timeout})
	if err := eng.HandlePackets("udp", cfg.port, datagrams, engine.AnyNamespace); err != nil {
		return err
	}
	if err := eng.Handle("tcp", cfg.port, streams, engine.AnyNamespace); err != nil {
		return err
	}
	if cfg.admin != "" {
		admin, err := metrics.Serve(cfg.admin, eng, metrics.AdminOptions{Logger: log})
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close(context.Background()) }() // waits for answers under way
		admin.SetReady(true)
		log.Info("admin endpoint", "addr", admin.Addr().String())
	}
	if err := eng.Watch(cfg.dir, engine.Match(cfg.netns)); err != nil {
		return err
	}
	log.Info("ready", "upstream", upstream)
	return eng.Run(ctx)
}
