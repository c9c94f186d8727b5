package metrics_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
)

var update = flag.Bool("update", false, "write the golden files anew")

// scrape is a scrape's samples: by `name{label="value",…}`, with the labels in
// order of their names. A histogram is its count.
func scrape(t testing.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.Counter != nil:
				samples[name] = m.GetCounter().GetValue()
			case m.Gauge != nil:
				samples[name] = m.GetGauge().GetValue()
			default:
				samples[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return samples
}

// registered is a Collector in a registry that checks all there is to check.
func registered(t testing.TB, src metrics.Source, opts metrics.Options) *prometheus.Registry {
	t.Helper()
	c := metrics.NewCollector(src, opts)
	c.SetNow(func() time.Time { return start.Add(time.Hour) })
	c.SetIdentity(identity)
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	return reg
}

func expect(t *testing.T, samples map[string]float64, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, ok := samples[name]
		if !ok {
			t.Errorf("%s is missing", name)
		} else if got != want[name] {
			t.Errorf("%s = %v, want %v", name, got, want[name])
		}
	}
}

// shown are the netns labels of a metric, sorted.
func shown(samples map[string]float64, metric string) []string {
	var names []string
	for s := range samples {
		if rest, ok := strings.CutPrefix(s, metric+`{netns="`); ok {
			names = append(names, rest[:strings.IndexByte(rest, '"')])
		}
	}
	slices.Sort(names)
	return names
}

func TestNamesPassPromlint(t *testing.T) {
	problems, err := testutil.GatherAndLint(registered(t, everything(), metrics.Options{MaxNamespaces: 2}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestExposition(t *testing.T) {
	reg := registered(t, everything(), metrics.Options{MaxNamespaces: 2})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	compareGolden(t, "testdata/exposition.txt", w.Body.String())
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not what %s says, which -update writes anew:\n%s", file, got)
	}
}

func TestEmptyEngine(t *testing.T) {
	samples := scrape(t, registered(t, &fake{}, metrics.Options{}))
	expect(t, samples, map[string]float64{
		`nsreactor_start_time_seconds{}`:              0,
		`nsreactor_loops{}`:                           0,
		`nsreactor_namespaces{state="serving"}`:       0,
		`nsreactor_folded_namespaces{}`:               0,
		`nsreactor_errors_total{kind="accept_limit"}`: 0,
	})
	if names := shown(samples, "nsreactor_namespace_connections"); names != nil {
		t.Errorf("series for %q", names)
	}
}

// An engine that has not begun to run has loops without distributions.
func TestHistogramWithoutBuckets(t *testing.T) {
	src := &fake{stats: engine.Stats{Loops: []engine.LoopStats{{}}}}
	expect(t, scrape(t, registered(t, src, metrics.Options{})), map[string]float64{
		`nsreactor_loop_turn_duration_seconds{loop="0"}`: 0,
	})
}

func TestCapFoldsTheRest(t *testing.T) {
	src := tenants(5)
	for i := range 5 {
		src.count(fmt.Sprintf("tenant-%d", i), func(ns *engine.NamespaceStats) {
			ns.Conns, ns.Accepted, ns.Errors[engine.ErrorRead] = 1, 10, 2
		})
	}
	src.count("tenant-4", func(ns *engine.NamespaceStats) { ns.State = engine.StateDraining })
	samples := scrape(t, registered(t, src, metrics.Options{MaxNamespaces: 3}))
	expect(t, samples, map[string]float64{
		`nsreactor_folded_namespaces{}`:                                              2,
		`nsreactor_namespace_connections{netns="_other",netns_id=""}`:                2,
		`nsreactor_namespace_connections_accepted_total{netns="_other",netns_id=""}`: 20,
		`nsreactor_namespace_errors_total{kind="read",netns="_other",netns_id=""}`:   4,
		`nsreactor_namespace_state{netns="_other",netns_id="",state="serving"}`:      1,
		`nsreactor_namespace_state{netns="_other",netns_id="",state="draining"}`:     1,
		`nsreactor_namespaces{state="serving"}`:                                      4,
		`nsreactor_namespaces{state="draining"}`:                                     1,
		`nsreactor_connections{}`:                                                    5,
		`nsreactor_connections_accepted_total{}`:                                     50,
		`nsreactor_errors_total{kind="read"}`:                                        10,
	})
	want := []string{"_other", "tenant-0", "tenant-1", "tenant-2"}
	if got := shown(samples, "nsreactor_namespace_connections"); !slices.Equal(got, want) {
		t.Errorf("series for %q, want %q", got, want)
	}
}

func TestCapDefaultsAndLimits(t *testing.T) {
	for _, c := range []struct{ limit, namespaces, series int }{
		{0, metrics.DefaultMaxNamespaces, metrics.DefaultMaxNamespaces},
		{0, metrics.DefaultMaxNamespaces + 1, metrics.DefaultMaxNamespaces + 1}, // one of them _other's
		{-1, 1100, 1100},
		{1, 3, 2},
	} {
		samples := scrape(t, registered(t, tenants(c.namespaces), metrics.Options{MaxNamespaces: c.limit}))
		if got := len(shown(samples, "nsreactor_namespace_connections")); got != c.series {
			t.Errorf("MaxNamespaces %d, %d namespaces: %d series, want %d", c.limit, c.namespaces, got, c.series)
		}
	}
}

func TestWhoHasSeriesKeepsThem(t *testing.T) {
	src := tenants(4)
	reg := registered(t, src, metrics.Options{MaxNamespaces: 2})
	steps := []struct {
		change func()
		want   []string
	}{
		{func() {}, []string{"_other", "tenant-0", "tenant-1"}},
		// The oldest of the others moves up.
		{func() { src.release("tenant-0") }, []string{"_other", "tenant-1", "tenant-2"}},
		// Whatever order the list comes in.
		{func() { src.change(func(s *engine.Stats) { slices.Reverse(s.Namespaces) }) }, []string{"_other", "tenant-1", "tenant-2"}},
		{func() { src.release("tenant-3") }, []string{"_other", "tenant-1", "tenant-2"}},
		{func() { src.release("tenant-1") }, []string{"_other", "tenant-2"}},
	}
	for i, step := range steps {
		step.change()
		if got := shown(scrape(t, reg), "nsreactor_namespace_connections"); !slices.Equal(got, step.want) {
			t.Errorf("step %d: series for %q, want %q", i, got, step.want)
		}
	}
}

func TestSeriesGoWithTheNamespace(t *testing.T) {
	src := tenants(2)
	reg := registered(t, src, metrics.Options{})
	scrape(t, reg)
	src.release("tenant-0")
	for name := range scrape(t, reg) {
		if strings.Contains(name, "tenant-0") {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestTotalsOutliveNamespaces(t *testing.T) {
	src := tenants(2)
	reg := registered(t, src, metrics.Options{})
	receive := func(name string, n uint64) {
		src.count(name, func(ns *engine.NamespaceStats) { ns.BytesIn += n; ns.Errors[engine.ErrorIdle] += n })
	}
	total := func(want float64) {
		t.Helper()
		expect(t, scrape(t, reg), map[string]float64{
			`nsreactor_received_bytes_total{}`:    want,
			`nsreactor_errors_total{kind="idle"}`: want,
		})
	}
	total(0)
	receive("tenant-0", 100)
	total(100)
	receive("tenant-1", 10)
	total(110)
	src.release("tenant-0")
	total(110)
	receive("tenant-1", 5)
	total(115)
	// The same namespace again is one that begins to count anew.
	src.change(func(s *engine.Stats) {
		again := tenant(0)
		again.Attached, again.BytesIn = start.Add(time.Hour), 7
		again.Errors[engine.ErrorIdle] = 7
		s.Namespaces = append(s.Namespaces, again)
	})
	total(122)
}

// Between two scrapes, a namespace goes and comes back under the same id, and
// has already counted more than before.
func TestReattachedUnseenCountsAnew(t *testing.T) {
	src := tenants(1)
	reg := registered(t, src, metrics.Options{})
	src.count("tenant-0", func(ns *engine.NamespaceStats) { ns.Accepted = 10 })
	scrape(t, reg)
	src.count("tenant-0", func(ns *engine.NamespaceStats) {
		ns.Accepted = 15
		ns.Attached = ns.Attached.Add(time.Minute)
	})
	expect(t, scrape(t, reg), map[string]float64{
		`nsreactor_namespace_connections_accepted_total{netns="tenant-0",netns_id="id:1"}`: 25,
	})
}

// A namespace that comes and goes between two scrapes is in no series of its
// own, but in the totals.
func TestTotalsKnowWhatWasNeverScraped(t *testing.T) {
	src := tenants(2)
	reg := registered(t, src, metrics.Options{})
	src.count("tenant-0", func(ns *engine.NamespaceStats) { ns.Accepted = 10 })
	src.release("tenant-0")
	expect(t, scrape(t, reg), map[string]float64{`nsreactor_connections_accepted_total{}`: 10})
}

func TestCountersOfOthersNeverFall(t *testing.T) {
	src := tenants(3)
	reg := registered(t, src, metrics.Options{MaxNamespaces: 1})
	accept := func(name string, n uint64) {
		src.count(name, func(ns *engine.NamespaceStats) { ns.Accepted += n })
	}
	other := func(want float64) {
		t.Helper()
		expect(t, scrape(t, reg), map[string]float64{
			`nsreactor_namespace_connections_accepted_total{netns="_other",netns_id=""}`: want,
		})
	}
	accept("tenant-1", 10)
	accept("tenant-2", 20)
	other(30)
	accept("tenant-1", 1)
	src.release("tenant-0") // tenant-1 moves up; what it has counted so far stays
	other(31)
	accept("tenant-1", 100)
	other(31)
	accept("tenant-2", 5)
	other(36)
	src.release("tenant-2")
	other(36) // also when nothing is folded any more
}

// A namespace that is attached again while its earlier attachment drains is
// listed twice under one id. It must not cost the operator the whole scrape,
// and its counters must not fall when the earlier one goes.
func TestAttachedAgainWhileDraining(t *testing.T) {
	src := tenants(1)
	reg := registered(t, src, metrics.Options{})
	src.count("tenant-0", func(ns *engine.NamespaceStats) { ns.State, ns.Accepted, ns.Conns = engine.StateDraining, 10, 2 })
	const series = `nsreactor_namespace_connections_accepted_total{netns="tenant-0",netns_id="id:1"}`
	expect(t, scrape(t, reg), map[string]float64{series: 10})
	src.change(func(s *engine.Stats) {
		again := tenant(0)
		again.Attached, again.Accepted, again.Conns = start.Add(time.Minute), 3, 1
		s.Namespaces = append(s.Namespaces, again)
	})
	expect(t, scrape(t, reg), map[string]float64{
		series: 13,
		`nsreactor_namespace_connections{netns="tenant-0",netns_id="id:1"}`:            3,
		`nsreactor_namespace_state{netns="tenant-0",netns_id="id:1",state="draining"}`: 1,
		`nsreactor_namespace_state{netns="tenant-0",netns_id="id:1",state="serving"}`:  1,
		`nsreactor_namespaces{state="serving"}`:                                        1,
		`nsreactor_namespaces{state="draining"}`:                                       1,
	})
	src.change(func(s *engine.Stats) {
		s.Gone.Add(&s.Namespaces[0])
		s.Namespaces = s.Namespaces[1:]
	})
	expect(t, scrape(t, reg), map[string]float64{
		series: 13,
		`nsreactor_namespace_connections{netns="tenant-0",netns_id="id:1"}`: 1,
		`nsreactor_connections_accepted_total{}`:                            13,
	})
}

func TestOneNameTwoNamespaces(t *testing.T) {
	src := tenants(2)
	src.change(func(s *engine.Stats) {
		s.Namespaces[0].Names[0], s.Namespaces[1].Names[0] = "_other", "_other"
	})
	samples := scrape(t, registered(t, src, metrics.Options{}))
	if got := shown(samples, "nsreactor_namespace_connections"); len(got) != 2 {
		t.Errorf("series for %q, want two", got)
	}
}

func TestNamelessGoesByItsID(t *testing.T) {
	src := tenants(1)
	src.change(func(s *engine.Stats) { s.Namespaces[0].Names = nil })
	samples := scrape(t, registered(t, src, metrics.Options{}))
	if got, want := shown(samples, "nsreactor_namespace_connections"), []string{"none"}; !slices.Equal(got, want) {
		t.Errorf("series for %q, want %q", got, want)
	}
}

// Scrapes that overtake each other must not enter an older snapshot after a
// newer one: what lies between would count twice.
func TestConcurrentScrapes(t *testing.T) {
	src := tenants(8)
	reg := registered(t, slow{src}, metrics.Options{MaxNamespaces: 4})
	const total = `nsreactor_connections_accepted_total{}`
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var before float64
			for range 50 {
				now := scrape(t, reg)[total]
				if now < before {
					t.Errorf("accepted went from %v to %v", before, now)
				}
				before = now
			}
		})
	}
	const accepted = 200
	for i := range accepted {
		src.count(fmt.Sprintf("tenant-%d", i%8), func(ns *engine.NamespaceStats) { ns.Accepted++ })
		time.Sleep(100 * time.Microsecond)
	}
	wg.Wait()
	expect(t, scrape(t, reg), map[string]float64{total: accepted})
}

// slow takes its time between a snapshot and its return.
type slow struct{ *fake }

func (s slow) Stats() engine.Stats {
	stats := s.fake.Stats()
	time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	return stats
}

// No Source should do this, but if one does, a counter must not leap to the end
// of what an unsigned number can hold.
func TestCounterThatFalls(t *testing.T) {
	src := tenants(1)
	reg := registered(t, src, metrics.Options{})
	for _, step := range []struct{ accepted, total uint64 }{{10, 10}, {4, 14}, {5, 15}} {
		src.count("tenant-0", func(ns *engine.NamespaceStats) { ns.Accepted = step.accepted })
		expect(t, scrape(t, reg), map[string]float64{
			`nsreactor_namespace_connections_accepted_total{netns="tenant-0",netns_id="id:1"}`: float64(step.total),
		})
	}
}

// Two engines in one process, told apart by a label of the program's.
func TestTwoEnginesInOneRegistry(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	for _, name := range []string{"a", "b"} {
		c := metrics.NewCollector(tenants(1), metrics.Options{})
		if err := prometheus.WrapRegistererWith(prometheus.Labels{"engine": name}, reg).Register(c); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, scrape(t, reg), map[string]float64{
		`nsreactor_namespaces{engine="a",state="serving"}`: 1,
		`nsreactor_namespaces{engine="b",state="serving"}`: 1,
	})
}

func TestCountersSayWhenTheyBegan(t *testing.T) {
	families, err := registered(t, tenants(1), metrics.Options{}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Time{
		"nsreactor_namespace_sent_bytes_total": tenant(0).Attached,
		"nsreactor_sent_bytes_total":           start,
	}
	for _, f := range families {
		if at, ok := want[f.GetName()]; ok {
			delete(want, f.GetName())
			if got := f.GetMetric()[0].GetCounter().GetCreatedTimestamp().AsTime(); !got.Equal(at) {
				t.Errorf("%s began at %s, want %s", f.GetName(), got, at)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func FuzzLabel(f *testing.F) {
	for _, name := range []string{"", "tenant-a", "caf\xe9", "\xff\xfe", "a\nb", `"quoted\"`, "nul\x00", "\ufffd", "_other"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := metrics.Label(name)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		if utf8.ValidString(name) && got != name {
			t.Fatalf("%q became %q for no reason", name, got)
		}
		src := tenants(1)
		src.change(func(s *engine.Stats) { s.Namespaces[0].Names[0] = name })
		expect(t, scrape(t, registered(t, src, metrics.Options{})), map[string]float64{
			fmt.Sprintf("nsreactor_namespace_connections{netns=%q,netns_id=\"id:1\"}", got): 0,
		})
	})
}

func BenchmarkScrape1024(b *testing.B) {
	src := tenants(1024)
	src.change(func(s *engine.Stats) {
		s.Loops = []engine.LoopStats{loop(0), loop(1)}
		for i := range s.Namespaces {
			s.Namespaces[i].Errors[engine.ErrorRead] = 1
			s.Namespaces[i].Listeners = []engine.ListenerStats{{Network: "tcp", Port: 7, Sockets: 2}}
		}
	})
	for _, limit := range []int{-1, 100} {
		c := metrics.NewCollector(src, metrics.Options{MaxNamespaces: limit})
		c.SetIdentity(identity)
		reg := prometheus.NewRegistry()
		reg.MustRegister(c)
		handler := promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})
		b.Run(fmt.Sprintf("max=%d", limit), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				b.ReportMetric(float64(w.Body.Len()), "bytes/scrape")
			}
		})
	}
}
