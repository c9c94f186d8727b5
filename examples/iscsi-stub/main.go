// Command iscsi-stub is an iSCSI target (RFC 7143) for the tenants of a machine: one process
// serves a port in all their network namespaces, and each tenant has targets, volumes,
// secrets and limits of its own, though all may use the same addresses and names. It is
// called a stub because no cluster is behind it; the protocol and the volumes are real.
//
//	iscsi-stub -demo                              # two tenants with one address; no root needed
//	iscsi-stub -config tenants.yaml -check
//	iscsi-stub -config tenants.yaml -admin 127.0.0.1:9100
//
// SIGHUP reads the tenants file again; sessions go on. See docs/iscsi-stub.md.
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
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal does not wait for the drain
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with all it needs, and returns the exit code: 2 for what is wrong with the
// arguments, 1 for everything else.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage())
		return 0
	case err != nil:
	case cfg.demo:
		return demonstrate(ctx, cfg, stdout, stderr)
	case cfg.check:
		err = check(cfg.file, stdout)
	default:
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		err = serve(ctx, cfg, slog.New(slog.NewTextHandler(stderr, nil)), hangup)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "iscsi-stub:", err)
	if isUsage(err) {
		return 2
	}
	return 1
}
