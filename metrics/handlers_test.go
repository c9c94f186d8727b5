package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/handlers/tally"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
	"github.com/nsreactor/nsreactor/metrics"
)

// What handlers count is shown under the handler's name, so that several can have the same
// middleware.
func TestHandlerCollector(t *testing.T) {
	echo, other := &middleware.Limits{PerNamespace: 1}, &middleware.Limits{}
	lp := handlertest.New(t, echo.Wrap(handlerStub{}))
	lp.Connect()
	lp.Connect()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(metrics.NewHandlerCollector("echo", echo), metrics.NewHandlerCollector("other", other))
	want := `
# HELP nsreactor_limit_refused_total Connections refused because of a limit, by whose it was.
# TYPE nsreactor_limit_refused_total counter
nsreactor_limit_refused_total{handler="echo",limit="namespace"} 1
nsreactor_limit_refused_total{handler="echo",limit="peer"} 0
nsreactor_limit_refused_total{handler="other",limit="namespace"} 0
nsreactor_limit_refused_total{handler="other",limit="peer"} 0
# HELP nsreactor_limit_connections Connections that count towards the limits.
# TYPE nsreactor_limit_connections gauge
nsreactor_limit_connections{handler="echo"} 1
nsreactor_limit_connections{handler="other"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "nsreactor_limit_refused_total", "nsreactor_limit_connections"); err != nil {
		t.Error(err)
	}
}

// Everything that has counters can be registered together, and its metrics are named and
// described as they should be.
func TestHandlerCollectorOfEverything(t *testing.T) {
	sources := []tally.Source{
		&middleware.Recover{}, &middleware.AccessLog{}, &middleware.ProxyProtocol{}, &middleware.Limits{}, &middleware.Timeouts{},
		&middleware.RateLimit{}, tlshandler.New(handlerStub{}, tlshandler.Config{}),
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(metrics.NewHandlerCollector("echo", sources...))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

type handlerStub struct{ engine.BaseHandler }
