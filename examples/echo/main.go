// Command echo is an echo server (RFC 862) that serves one port in many network
// namespaces from one process, now and as they come and go:
//
//	echo -netns 'tenant-*'
//
// With -demo N it makes N namespaces of its own, talks to itself in all of
// them, and says whether every byte came from where it should. That needs no
// root where user namespaces are allowed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
)

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with all it needs, and returns the exit code: 2 for what is wrong
// with the arguments, 1 for everything else.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args)
	switch {
	case errors.Is(err, errHelp):
		fmt.Fprint(stdout, usage())
		return 0
	case err == nil && cfg.demo > 0:
		return demonstrate(ctx, cfg, stdout, stderr)
	case err == nil:
		err = serve(ctx, cfg, stderr)
	}
	return complain(stderr, err)
}

// serve echoes until ctx ends, then drains.
func serve(ctx context.Context, cfg config, stderr io.Writer) error {
	eng, admin, err := start(cfg, cfg.logger(stderr, slog.LevelInfo))
	if err != nil {
		return err
	}
	if err := attach(eng, cfg); err != nil {
		return errors.Join(err, eng.Shutdown(ctx), admin.close())
	}
	admin.ready()
	fmt.Fprintln(stderr, "ready")
	return errors.Join(eng.Run(ctx), admin.close())
}

// attach has every namespace echo that was asked for and is there.
func attach(eng *engine.Engine, cfg config) error {
	if err := eng.Handle("tcp", cfg.port, handlers.Echo{}, cfg.handleOptions()...); err != nil {
		return err
	}
	if cfg.home {
		if _, err := eng.Attach(nsctx.Home()); err != nil {
			return err
		}
	}
	if cfg.netns != "" {
		if err := eng.Watch(cfg.dir, engine.Match(cfg.netns)); err != nil {
			return err
		}
	}
	return cfg.hopeless(eng)
}

// untilSignal ends at the first signal that asks the process to end; the second
// ends it.
func untilSignal() context.Context {
	signal.Ignore(syscall.SIGPIPE) // who reads along may go, the program stays
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // by nohup(1)
		ending = append(ending, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, ending...)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "echo: second signal, not waiting any longer")
		os.Exit(1)
	}()
	return ctx
}
