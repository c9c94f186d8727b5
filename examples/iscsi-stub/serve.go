package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/observe"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/session"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/tenant"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
)

// check is -check.
func check(file string, stdout io.Writer) error {
	f, err := tenant.Load(file)
	if err != nil {
		return err
	}
	for _, w := range f.Warnings {
		fmt.Fprintln(stdout, "warning:", w)
	}
	fmt.Fprintf(stdout, "%s is fine: %d tenants\n", file, len(f.Tenants))
	return nil
}

// serve serves tenants until ctx ends, then drains. What comes on reload has the file read again.
func serve(ctx context.Context, cfg config, log *slog.Logger, reload <-chan os.Signal) (err error) {
	f, err := load(cfg.file, log)
	if err != nil {
		return err
	}
	if err := nsctx.CheckPrivilege(); err != nil && cfg.netns != "" {
		return fmt.Errorf("needs CAP_SYS_ADMIN to enter namespaces: run it as root, or with -netns '' -home (%w)", err)
	}
	observer := observe.New()
	tenants, err := tenant.Open(f, uint16(cfg.port), log, observer.Meter)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tenants.Close()) }()
	server, err := session.New(session.Config{
		Directory: tenants, Observer: observer, Logger: log,
		PingAfter: cfg.ping,
		Login:     login.Config{LenientSendTargets: cfg.lenient},
	})
	if err != nil {
		return err
	}
	eng, err := engine.New(engine.Config{Loops: cfg.loops, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = eng.Shutdown(ctx) }() // nothing is left to do after Run
	if err := eng.Handle("tcp", cfg.port, server.Handler(), engine.AnyNamespace); err != nil {
		return err
	}
	admin, err := listen(cfg.admin, eng, observer.Collector(server, tenants), observe.Page(server), log)
	if err != nil {
		return err
	}
	defer admin.close()
	if err := attach(eng, cfg); err != nil {
		return err
	}
	watching := follow(ctx, cfg.file, log, reload, func(f *tenant.File) error { return apply(tenants, server, f) })
	defer watching()
	admin.ready()
	log.Info("ready", "tenants", len(f.Tenants), "port", cfg.port)
	if cfg.ready != nil {
		cfg.ready()
	}
	return eng.Run(ctx)
}

// attach has every namespace served that was asked for and is there.
func attach(eng *engine.Engine, cfg config) error {
	if cfg.home {
		if _, err := eng.Attach(nsctx.Home()); err != nil {
			return err
		}
	}
	if cfg.netns == "" {
		return nil
	}
	return eng.Watch(cfg.dir, engine.Match(cfg.netns))
}

// load reads the tenants file, and logs what is odd about it.
func load(file string, log *slog.Logger) (*tenant.File, error) {
	f, err := tenant.Load(file)
	if err != nil {
		return nil, err
	}
	for _, w := range f.Warnings {
		log.Warn(w)
	}
	return f, nil
}

// apply has sessions end that would not be let in now, and no others.
func apply(tenants *tenant.Directory, server *session.Server, f *tenant.File) error {
	return tenants.Apply(f, func() { server.Revoke() })
}

// follow reads the file again at each signal, until ctx ends or the function that it returns
// is called. A file that is wrong changes nothing.
func follow(ctx context.Context, file string, log *slog.Logger, reload <-chan os.Signal, apply func(*tenant.File) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-reload:
			}
			f, err := load(file, log)
			if err == nil {
				err = apply(f)
			}
			if err != nil {
				log.Error("the tenants stay as they are", "err", err)
				continue
			}
			log.Info("the tenants are those of the file", "file", file, "tenants", len(f.Tenants))
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// admin is the admin endpoint, or none.
type admin struct{ *metrics.Admin }

func listen(address string, eng *engine.Engine, c *observe.Collector, sessions http.Handler, log *slog.Logger) (admin, error) {
	if address == "" {
		return admin{}, nil
	}
	a, err := metrics.Serve(address, eng, metrics.AdminOptions{Logger: log, Pages: map[string]http.Handler{"/sessions": sessions}})
	if err != nil {
		return admin{}, err
	}
	a.Registry().MustRegister(c)
	log.Info("admin endpoint", "addr", a.Addr().String())
	return admin{a}, nil
}

func (a admin) ready() {
	if a.Admin != nil {
		a.SetReady(true)
	}
}

func (a admin) close() {
	if a.Admin != nil {
		_ = a.Close(context.Background()) // waits for answers under way
	}
}
