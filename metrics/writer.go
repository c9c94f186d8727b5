package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/engine"
)

// writer sends one scrape's samples.
type writer struct {
	ch      chan<- prometheus.Metric
	created time.Time // when the engine's counters began
}

func (w *writer) engine(stats *engine.Stats, p *page) {
	s := summary{stats, p}
	for _, f := range engineFamilies {
		w.send(f.desc, f.kind, f.value(&s), w.created)
	}
	for i, state := range listedStates {
		w.send(descNamespaces, prometheus.GaugeValue, float64(p.all.states[i]), w.created, state.String())
	}
	w.send(descDraining, prometheus.GaugeValue, float64(p.all.heldHere), w.created, "self")
	w.send(descDraining, prometheus.GaugeValue, float64(p.all.heldElsewhere), w.created, "others")
	for _, kind := range engine.ErrorKinds() {
		w.send(descErrors, prometheus.CounterValue, float64(p.totals.Errors[kind]), w.created, kind.String())
	}
	w.histogram(descWorkWait, stats.Work.WaitSeconds)
	w.histogram(descWorkRun, stats.Work.RunSeconds)
	w.send(descIdentity, prometheus.GaugeValue, 1, w.created, label(stats.IdentityGrade.String()))
}

func (w *writer) loop(l *engine.LoopStats) {
	index := strconv.Itoa(l.Index)
	for _, f := range loopFamilies {
		w.send(f.desc, f.kind, f.value(l), w.created, index)
	}
	w.histogram(descLoopTurn, l.TurnSeconds, index)
	w.histogram(descLoopBatch, l.BatchEvents, index)
}

func (w *writer) namespace(r *row) {
	for _, f := range namespaceFamilies {
		w.send(f.desc, f.kind, f.value(r), r.created, r.name, r.id)
	}
	for i, state := range listedStates {
		w.send(descNamespaceState, prometheus.GaugeValue, float64(r.gauges.states[i]), r.created, r.name, r.id, state.String())
	}
	for kind, n := range r.counters.errors {
		if n > 0 {
			w.send(descNamespaceErrors, prometheus.CounterValue, float64(n), r.created, r.name, r.id, engine.ErrorKind(kind).String())
		}
	}
}

// send sends one sample. A counter that says when it began lets a scraper tell
// a new one from a reset one, and count its first value in full.
func (w *writer) send(desc *prometheus.Desc, kind prometheus.ValueType, v float64, created time.Time, labels ...string) {
	var m prometheus.Metric
	var err error
	if kind == prometheus.CounterValue && !created.IsZero() {
		m, err = prometheus.NewConstMetricWithCreatedTimestamp(desc, kind, v, created, labels...)
	} else {
		m, err = prometheus.NewConstMetric(desc, kind, v, labels...)
	}
	w.put(desc, m, err)
}

func (w *writer) histogram(desc *prometheus.Desc, h engine.Histogram, labels ...string) {
	var m prometheus.Metric
	var err error
	if w.created.IsZero() {
		m, err = prometheus.NewConstHistogram(desc, h.Count(), h.Sum, cumulative(h), labels...)
	} else {
		m, err = prometheus.NewConstHistogramWithCreatedTimestamp(desc, h.Count(), h.Sum, cumulative(h), w.created, labels...)
	}
	w.put(desc, m, err)
}

// put reports what is no metric as the scrape's error instead of a panic.
func (w *writer) put(desc *prometheus.Desc, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	w.ch <- m
}

// cumulative is the buckets as Prometheus has them, each including those
// below. The last one, above all bounds, is implied by the count.
func cumulative(h engine.Histogram) map[float64]uint64 {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var below uint64
	for i, bound := range h.Bounds {
		if i < len(h.Counts) {
			below += h.Counts[i]
		}
		buckets[bound] = below
	}
	return buckets
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds is a time as Prometheus has it; 0 is no time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
