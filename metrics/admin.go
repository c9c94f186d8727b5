package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DefaultStalledAfter is for how long a loop may be busy with one turn before
// /healthz calls it stalled, unless AdminOptions say otherwise.
const DefaultStalledAfter = 30 * time.Second

// Time limits of the endpoint's connections. Profiles ask for more.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
)

// maxScrapes is how many scrapes are served at once; each holds a copy of
// everything.
const maxScrapes = 8

// AdminOptions are an Admin's. The zero value is a good one.
type AdminOptions struct {
	// Metrics are the options of the Admin's Collector.
	Metrics Options
	// StalledAfter is for how long a loop may be busy with one turn before
	// /healthz fails. It is a reason to kill the process, so it should be
	// well above what engine.Config.StallAfter logs. 0 is
	// DefaultStalledAfter; a negative duration is never.
	StalledAfter time.Duration
	// Ready is asked by /readyz, which fails with the error it returns. It is
	// called concurrently. With nil, SetReady alone says when the program is
	// ready.
	Ready func() error
	// Pages are the program's own, by their paths, such as "/sessions". They are
	// called concurrently. A path of the Admin's own panics.
	Pages map[string]http.Handler
	// Logger gets the errors of the HTTP server. Default: slog.Default().
	Logger *slog.Logger
}

// Admin is the operator's HTTP endpoint. It answers GET and HEAD:
//
//	/metrics       the Collector's, Go's and the process's metrics
//	/healthz       200, or 503 if a loop is stalled
//	/readyz        200, or 503 until the program is ready and from a drain on
//	/namespaces    what the engine knows of each namespace; ?name=GLOB&state=STATE
//	/loops         what each loop has done
//	/debug/pprof/  profiles for "go tool pprof" and "go tool trace"
//	/              links to these
//
// It is for the machine it runs on: whoever can reach it sees the names of all
// namespaces and can take profiles. See [Listen].
type Admin struct {
	src          Source
	ready        func() error
	stalledAfter time.Duration
	log          *slog.Logger
	registry     *prometheus.Registry
	handler      http.Handler
	server       *http.Server
	stop         context.CancelFunc // ends what requests wait for

	isReady atomic.Bool

	background sync.WaitGroup // of Serve, the function
	addr       net.Addr       // likewise; set before the Admin is handed out
	failed     error          // likewise; set before background is done
}

// NewAdmin makes an Admin, which does not listen yet. Its metrics are in a
// registry of its own.
func NewAdmin(src Source, opts AdminOptions) *Admin {
	a := &Admin{src: src, ready: opts.Ready, stalledAfter: opts.StalledAfter, log: opts.Logger}
	if a.stalledAfter == 0 {
		a.stalledAfter = DefaultStalledAfter
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	a.isReady.Store(opts.Ready != nil)
	a.registry = prometheus.NewRegistry()
	a.registry.MustRegister(
		NewCollector(src, opts.Metrics),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	a.handler = a.routes(opts.Pages)
	a.server, a.stop = newServer(a.handler, a.log)
	return a
}

func newServer(h http.Handler, log *slog.Logger) (*http.Server, context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}, stop
}

func (a *Admin) routes(pages map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.Handle("GET "+path, page)
	}
	mux.Handle("GET /metrics", a.metrics())
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /namespaces", a.namespaces)
	mux.HandleFunc("GET /loops", a.loops)
	mux.HandleFunc("GET /{$}", index)
	routeProfiles(mux)
	return mux
}

// metrics serves what could be gathered even when a collector has failed: one
// that a program has added must not blind the operator to all others.
func (a *Admin) metrics() http.Handler {
	return promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(a.log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            a.registry,
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}

// Registry is what /metrics shows, for a program to add metrics of its own.
func (a *Admin) Registry() *prometheus.Registry { return a.registry }

// SetReady says whether the program is ready, for /readyz. An Admin begins
// not ready, unless AdminOptions.Ready is set. It may be called from any
// goroutine.
func (a *Admin) SetReady(ready bool) { a.isReady.Store(ready) }

// ServeHTTP answers a request, so that an Admin can be part of another server.
// It does not look where the request comes from.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Serve serves a listener, which should come from [Listen], until Close; then
// it returns nil. It closes the listener. Several listeners may be served at
// once.
func (a *Admin) Serve(ln net.Listener) error {
	err := a.server.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close stops listening, ends profiles that are being taken, waits for other
// requests to be answered, and, when ctx ends first, breaks them off and
// returns its error. It returns also what has ended serving before, if that
// was begun by [Serve].
func (a *Admin) Close(ctx context.Context) error {
	a.stop()
	err := a.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, a.server.Close())
	}
	a.background.Wait()
	return errors.Join(err, a.failed)
}

// Addr is where the function [Serve] made the Admin listen, else nil.
func (a *Admin) Addr() net.Addr { return a.addr }

// Serve makes an Admin that listens on an address as [Listen] does and serves
// it on a goroutine of its own until Close.
func Serve(addr string, src Source, opts AdminOptions) (*Admin, error) {
	ln, err := Listen(addr)
	if err != nil {
		return nil, err
	}
	a := NewAdmin(src, opts)
	a.addr = ln.Addr()
	a.background.Go(func() {
		if a.failed = a.Serve(ln); a.failed != nil {
			a.log.Error("admin endpoint has stopped", "addr", addr, "err", a.failed)
		}
	})
	return a, nil
}
