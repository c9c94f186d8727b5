package metrics_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
)

// quiet keeps expected complaints out of the tests' output.
var quiet = slog.New(slog.DiscardHandler)

func ask(t *testing.T, h http.Handler, method, target string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// get asks for a page and expects a status.
func get(t *testing.T, h http.Handler, target string, status int) string {
	t.Helper()
	r := ask(t, h, http.MethodGet, target)
	text := body(t, r)
	if r.StatusCode != status {
		t.Fatalf("GET %s: status %d, want %d: %s", target, r.StatusCode, status, text)
	}
	return text
}

// indented makes JSON fit to be compared and read.
func indented(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	out, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

func TestMetricsPage(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	admin.Registry().MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "own_things", Help: "A program's own."}, func() float64 { return 7 }))
	text := get(t, admin, "/metrics", http.StatusOK)
	for _, line := range []string{
		`nsreactor_loop_events_total{loop="0"} 250`, "go_goroutines ", "process_open_fds ", "own_things 7", "promhttp_metric_handler_errors_total",
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line begins with %q", line)
		}
	}
}

func TestMetricsPageSpeaksOpenMetrics(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	admin.ServeHTTP(w, r)
	if text := w.Body.String(); !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("no OpenMetrics: %q", w.Header().Get("Content-Type"))
	}
}

// A program's broken collector must not take the engine's metrics with it.
func TestBrokenCollectorSparesTheOthers(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{Logger: quiet})
	admin.Registry().MustRegister(broken{})
	if text := get(t, admin, "/metrics", http.StatusOK); !strings.Contains(text, "nsreactor_loops 2") {
		t.Error("the engine's metrics are gone")
	}
}

type broken struct{}

func (broken) Describe(chan<- *prometheus.Desc) {}
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "Broken.", nil, nil), errors.New("broken"))
}

func TestHealth(t *testing.T) {
	busy := func(d time.Duration) *fake {
		src := everything()
		src.change(func(s *engine.Stats) { s.Loops[1].Busy = d })
		return src
	}
	for _, c := range []struct {
		busy, limit time.Duration
		status      int
		want        string
	}{
		{time.Second, 0, 200, `{"status":"ok","stalled":[]}`},
		{time.Minute, 0, 503, `{"status":"stalled","stalled":[{"loop":1,"busy_seconds":60,"namespace":"tenant-0"}]}`},
		{time.Second, 500 * time.Millisecond, 503, `{"status":"stalled","stalled":[{"loop":1,"busy_seconds":1,"namespace":"tenant-0"}]}`},
		{time.Hour, -1, 200, `{"status":"ok","stalled":[]}`},
	} {
		admin := metrics.NewAdmin(busy(c.busy), metrics.AdminOptions{StalledAfter: c.limit})
		if got := get(t, admin, "/healthz", c.status); got != c.want+"\n" {
			t.Errorf("busy %s, limit %s: %s", c.busy, c.limit, got)
		}
	}
}

func TestReadiness(t *testing.T) {
	src := everything()
	admin := metrics.NewAdmin(src, metrics.AdminOptions{})
	expect := func(status int, want string) {
		t.Helper()
		if got := get(t, admin, "/readyz", status); got != want+"\n" {
			t.Errorf("got %s want %s", got, want)
		}
	}
	expect(503, `{"ready":false,"reason":"starting"}`)
	admin.SetReady(true)
	expect(200, `{"ready":true,"reason":"ready"}`)
	admin.SetReady(false)
	expect(503, `{"ready":false,"reason":"starting"}`)
	admin.SetReady(true)
	src.change(func(s *engine.Stats) { s.Draining = true })
	expect(503, `{"ready":false,"reason":"draining"}`)
	src.change(func(s *engine.Stats) { s.Stopped = true })
	expect(503, `{"ready":false,"reason":"stopped"}`)
}

func TestReadinessAsksTheProgram(t *testing.T) {
	src, problem := everything(), errors.New(`no "volume" yet`)
	admin := metrics.NewAdmin(src, metrics.AdminOptions{Ready: func() error { return problem }})
	want := `{"ready":false,"reason":"not_ready","detail":"no \"volume\" yet"}` + "\n"
	if got := get(t, admin, "/readyz", 503); got != want {
		t.Errorf("got %s want %s", got, want)
	}
	problem = nil
	get(t, admin, "/readyz", 200)
	admin.SetReady(false)
	get(t, admin, "/readyz", 503)
}

// The names of the fields are a contract with whoever reads the page.
func TestNamespacesPage(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	compareGolden(t, "testdata/namespaces.json", indented(t, get(t, admin, "/namespaces", 200)))
}

func TestLoopsPage(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	compareGolden(t, "testdata/loops.json", indented(t, get(t, admin, "/loops", 200)))
}

func TestPagesOfAnEmptyEngine(t *testing.T) {
	src := &fake{stats: engine.Stats{Loops: []engine.LoopStats{{}}, Namespaces: []engine.NamespaceStats{{}}}}
	for _, page := range []string{"/namespaces", "/loops"} {
		if text := get(t, metrics.NewAdmin(src, metrics.AdminOptions{}), page, 200); strings.Contains(text, "null") {
			t.Errorf("%s has a null where a list should be: %s", page, text)
		}
	}
	if text := get(t, metrics.NewAdmin(&fake{}, metrics.AdminOptions{}), "/namespaces", 200); !strings.Contains(text, `"namespaces":[]`) {
		t.Errorf("no empty list: %s", text)
	}
}

func TestNamespaceFilters(t *testing.T) {
	src := tenants(12)
	src.count("tenant-3", func(ns *engine.NamespaceStats) { ns.State = engine.StateDraining })
	src.count("tenant-11", func(ns *engine.NamespaceStats) { ns.State = engine.StateDraining })
	admin := metrics.NewAdmin(src, metrics.AdminOptions{})
	for query, want := range map[string][]string{
		"name=tenant-1":                        {"tenant-1"},
		"name=tenant-1*":                       {"tenant-1", "tenant-10", "tenant-11"},
		"name=id:5":                            {"tenant-4"}, // any of its names
		"name=tenant-1&name=tenant-2":          {"tenant-1", "tenant-2"},
		"state=draining":                       {"tenant-3", "tenant-11"},
		"state=draining&name=tenant-1*":        {"tenant-11"},
		"state=attaching":                      nil,
		"name=nobody":                          nil,
		"state=draining&state=attaching&name=": {"tenant-3", "tenant-11"},
	} {
		var page struct{ Namespaces []struct{ Names []string } }
		if err := json.Unmarshal([]byte(get(t, admin, "/namespaces?"+query, 200)), &page); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ns := range page.Namespaces {
			got = append(got, ns.Names[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("?%s: %q, want %q", query, got, want)
		}
	}
}

func TestBadFiltersAreTheAskersFault(t *testing.T) {
	admin := metrics.NewAdmin(tenants(1), metrics.AdminOptions{})
	for _, query := range []string{"name=[", "name=ok&name=[", "state=asleep", "state=released", "name=%zz"} {
		text := get(t, admin, "/namespaces?"+query, http.StatusBadRequest)
		var page struct{ Error string }
		if err := json.Unmarshal([]byte(text), &page); err != nil || page.Error == "" {
			t.Errorf("?%s: %q says nothing: %v", query, text, err)
		}
	}
}

// What JSON can't say must not come out as the beginning of a page.
func TestUnspeakableNumbers(t *testing.T) {
	src := everything()
	src.change(func(s *engine.Stats) { s.Loops[1].TurnSeconds.Sum = math.NaN() })
	text := get(t, metrics.NewAdmin(src, metrics.AdminOptions{}), "/loops", http.StatusInternalServerError)
	if !strings.HasPrefix(text, `{"error":`) || !json.Valid([]byte(text)) {
		t.Errorf("got %q", text)
	}
}

func TestOnlyGetAndHead(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	for _, page := range []string{"/", "/metrics", "/healthz", "/readyz", "/namespaces", "/loops", "/debug/pprof/", "/debug/pprof/heap"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			if r := ask(t, admin, method, page); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") == "" {
				t.Errorf("%s %s: status %d, Allow %q", method, page, r.StatusCode, r.Header.Get("Allow"))
			}
		}
	}
	if r := ask(t, admin, http.MethodHead, "/namespaces"); r.StatusCode != 200 || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: status %d, length %q", r.StatusCode, r.Header.Get("Content-Length"))
	}
}

func TestIndexLinksToWhatThereIs(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{Ready: func() error { return nil }})
	links := 0
	for _, rest := range strings.Split(get(t, admin, "/", 200), `<a href="`)[1:] {
		get(t, admin, rest[:strings.IndexByte(rest, '"')], 200)
		links++
	}
	if links < 6 {
		t.Errorf("only %d links", links)
	}
	get(t, admin, "/nothing", http.StatusNotFound)
}

func TestProfiles(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	if text := get(t, admin, "/debug/pprof/", 200); !strings.Contains(text, "goroutine?debug=1") {
		t.Errorf("the index has no goroutines: %s", text)
	}
	if text := get(t, admin, "/debug/pprof/goroutine?debug=1", 200); !strings.Contains(text, "TestProfiles") {
		t.Error("the goroutines don't have this one")
	}
	const gzip = "\x1f\x8b"
	for _, page := range []string{"heap", "heap?gc=1", "allocs", "profile?seconds=0.01"} {
		if text := get(t, admin, "/debug/pprof/"+page, 200); !strings.HasPrefix(text, gzip) {
			t.Errorf("%s is no profile", page)
		}
	}
	if text := get(t, admin, "/debug/pprof/trace?seconds=0.01", 200); !strings.HasPrefix(text, "go 1.") {
		t.Errorf("no trace")
	}
	get(t, admin, "/debug/pprof/cmdline", 200)
	get(t, admin, "/debug/pprof/nothing", http.StatusNotFound)
	for _, page := range []string{"profile?seconds=0", "profile?seconds=x", "profile?seconds=NaN", "trace?seconds=1e9", "heap?debug=x", "heap?gc=x", "heap?seconds=1"} {
		get(t, admin, "/debug/pprof/"+page, http.StatusBadRequest)
	}
	if text := body(t, ask(t, admin, http.MethodHead, "/debug/pprof/profile")); text != "" { // at once
		t.Errorf("HEAD has a body of %d bytes", len(text))
	}
}

func TestOneRecordingAtATime(t *testing.T) {
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{})
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	text := get(t, admin, "/debug/pprof/profile?seconds=0.01", http.StatusConflict)
	pprof.StopCPUProfile()
	if !json.Valid([]byte(text)) {
		t.Errorf("got %q", text)
	}
	get(t, admin, "/debug/pprof/profile?seconds=0.01", 200)
}

// A program may serve the default mux to the world.
func TestDefaultMuxHasNoProfiles(t *testing.T) {
	_, pattern := http.DefaultServeMux.Handler(httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil))
	if pattern != "" {
		t.Errorf("somebody has registered %q", pattern)
	}
}
