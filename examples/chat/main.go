// Command chat is a chat for each tenant of a machine: who connects from a network
// namespace is heard by all others of that namespace, and by nobody else, though all
// tenants use the same addresses. As root:
//
//	ip netns add blue
//	ip netns add red
//	ip -n blue link set lo up
//	ip -n red link set lo up
//	chat -admin 127.0.0.1:9100 &
//	ip netns exec blue nc 127.0.0.1 7000   # twice, and once in red
//
// Without root, do so inside "unshare -Urnm", after "mount -t tmpfs none /run".
// Namespaces may come and go meanwhile.
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

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/framing"
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
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&cfg.port, "port", 7000, "TCP `port` to serve in every namespace")
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
	fmt.Fprintln(stderr, "chat:", err)
	for _, wrong := range []error{errUsage, engine.ErrBadHandle, path.ErrBadPattern, metrics.ErrBadAddress, metrics.ErrNotLoopback} {
		if errors.Is(err, wrong) {
			return 2
		}
	}
	return 1
}

var errUsage = errors.New("wrong arguments")

// serve has people chat until ctx ends, then sees them off.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
	if err := nsctx.CheckPrivilege(); err != nil {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root (%w)", err)
	}
	h, err := framing.New(framing.Lines{Max: maxLine}, newHall())
	if err != nil {
		return err
	}
	// What a tenant can have kept is the product of the two: 16 MiB.
	eng, err := engine.New(engine.Config{Logger: log, MaxConnsPerNamespace: 128, WriteBufferMax: 128 << 10})
	if err != nil {
		return err
	}
	defer func() { _ = eng.Shutdown(ctx) }() // nothing is left to do after Run
	if err := eng.Handle("tcp", cfg.port, h, engine.AnyNamespace); err != nil {
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
	log.Info("ready")
	return eng.Run(ctx)
}
