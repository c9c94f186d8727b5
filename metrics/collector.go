package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/engine"
)

// Source is what is shown. An *engine.Engine is one.
type Source interface {
	// Stats is a snapshot that the caller may keep. It must be safe to call
	// from several goroutines.
	Stats() engine.Stats
}

// DefaultMaxNamespaces is how many namespaces have series of their own unless
// Options say otherwise.
const DefaultMaxNamespaces = 1000

// Options are a Collector's. The zero value is a good one.
type Options struct {
	// MaxNamespaces is how many namespaces have series of their own. All
	// others are summed in series with netns="_other" and an empty netns_id;
	// nsreactor_folded_namespaces says how many those are. The namespaces
	// attached first have their own, and keep them for as long as they are
	// listed; when one goes, the oldest of the others takes its place.
	//
	// 0 is DefaultMaxNamespaces, a negative number is no limit.
	MaxNamespaces int
}

// Collector is a prometheus.Collector that reads an engine at each scrape. It
// may be registered with any registry and scraped concurrently; for two
// engines in one registry, see prometheus.WrapRegistererWith.
type Collector struct {
	src Source
	now func() time.Time

	mu     sync.Mutex // held from before Stats to after post: the ledger must see snapshots in order
	ledger ledger
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a Collector, which is not registered anywhere yet.
func NewCollector(src Source, opts Options) *Collector {
	return &Collector{src: src, now: time.Now, ledger: newLedger(opts.MaxNamespaces)}
}

// Describe sends the descriptions of all metrics; it is for the registry.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range allDescs() {
		ch <- desc
	}
}

// Collect reads the engine and sends what it says; it is for the registry.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	stats, page := c.read()
	w := writer{ch: ch, created: stats.Started}
	w.engine(&stats, &page)
	for i := range stats.Loops {
		w.loop(&stats.Loops[i])
	}
	for i := range page.rows {
		w.namespace(&page.rows[i])
	}
}

// read takes a snapshot and enters it in the ledger.
func (c *Collector) read() (engine.Stats, page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.src.Stats()
	p := c.ledger.post(stats.Namespaces, c.now())
	p.totals = stats.Gone
	for i := range stats.Namespaces {
		p.totals.Add(&stats.Namespaces[i])
	}
	return stats, p
}
