package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/echo/demo"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// start makes an engine, and its admin endpoint if one is wanted.
func start(cfg config, log *slog.Logger) (*engine.Engine, admin, error) {
	eng, err := engine.New(cfg.engine(log))
	if err != nil || cfg.admin == "" {
		return eng, admin{}, err
	}
	a, err := metrics.Serve(cfg.admin, eng, metrics.AdminOptions{Logger: log})
	if err != nil {
		return nil, admin{}, errors.Join(err, eng.Shutdown(context.Background()))
	}
	log.Info("admin endpoint", "addr", a.Addr().String())
	return eng, admin{a}, nil
}

// admin is the admin endpoint, or none.
type admin struct{ *metrics.Admin }

func (a admin) ready() {
	if a.Admin != nil {
		a.SetReady(true)
	}
}

// close gives requests that are being answered a moment.
func (a admin) close() error {
	if a.Admin == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return a.Close(ctx)
}

// demonstrate is -demo. Without the privilege to make namespaces, the program
// runs again as the root of a user namespace.
func demonstrate(ctx context.Context, cfg config, stdout, stderr io.Writer) int {
	done, code, err := nstest.Reexec()
	if err != nil {
		return complain(stderr, fmt.Errorf("-demo makes namespaces: %w", err))
	}
	if done {
		return code
	}
	eng, admin, err := start(cfg, cfg.logger(stderr, slog.LevelWarn))
	if err != nil {
		return complain(stderr, err)
	}
	admin.ready()
	err = demo.Run(ctx, eng, demo.Config{
		Tenants: cfg.demo, Port: cfg.port, Anywhere: cfg.mode == modeAny, Mode: cfg.mode,
		Report: stdout, Progress: stderr,
	})
	if closeErr := admin.close(); closeErr != nil {
		return complain(stderr, closeErr)
	}
	if err != nil {
		return 1 // the report says it
	}
	return 0
}
