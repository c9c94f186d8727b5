package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
)

// A program that has a registry already adds the Collector to it.
func ExampleNewCollector() {
	eng, err := engine.New(engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(metrics.NewCollector(eng, metrics.Options{MaxNamespaces: 200}))
	http.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	if err := eng.Run(context.Background()); err != nil {
		log.Print(err)
	}
}

// Two engines in one registry are told apart by a label.
func ExampleNewCollector_twoEngines() {
	reg := prometheus.NewRegistry()
	for name, src := range map[string]metrics.Source{"front": tenants(1), "back": tenants(1)} {
		labels := prometheus.Labels{"engine": name}
		prometheus.WrapRegistererWith(labels, reg).MustRegister(metrics.NewCollector(src, metrics.Options{}))
	}
}

// A program that has no registry, and wants profiles and health checks too,
// needs two lines.
func ExampleServe() {
	eng, err := engine.New(engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	admin, err := metrics.Serve("127.0.0.1:9100", eng, metrics.AdminOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer admin.Close(context.Background())

	// … attach namespaces …
	admin.SetReady(true)
	if err := eng.Run(context.Background()); err != nil {
		log.Print(err)
	}
}

// One endpoint for Prometheus and another for the operator's own tools.
func ExampleAdmin_Serve() {
	admin := metrics.NewAdmin(tenants(1), metrics.AdminOptions{})
	for _, addr := range []string{"localhost:9100", "unix:/run/nsreactor/admin.sock"} {
		ln, err := metrics.Listen(addr)
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			if err := admin.Serve(ln); err != nil {
				log.Print(err)
			}
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := admin.Close(ctx); err != nil {
		log.Print(err)
	}
}

func ExampleAdmin_SetReady() {
	admin := metrics.NewAdmin(tenants(3), metrics.AdminOptions{})
	ask := func() {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	ask()
	admin.SetReady(true)
	ask()
	// Output:
	// 503 {"ready":false,"reason":"starting"}
	// 200 {"ready":true,"reason":"ready"}
}

func ExampleListen_refused() {
	_, err := metrics.Listen("0.0.0.0:9100")
	fmt.Println(err)
	fmt.Println(errors.Is(err, metrics.ErrNotLoopback))
	// Output:
	// metrics: listen "0.0.0.0:9100": not a loopback address: the endpoint shows all namespaces and has no password
	// true
}
