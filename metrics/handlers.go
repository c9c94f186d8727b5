package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/handlers/tally"
)

// HandlerCollector is a prometheus.Collector of what handlers count: middleware, TLS. Its
// metrics are the sources' with "nsreactor_" before their names.
type HandlerCollector struct {
	handler string
	sources []tally.Source
}

var _ prometheus.Collector = (*HandlerCollector)(nil)

// NewHandlerCollector makes a HandlerCollector, which is not registered anywhere yet. handler
// is a name for what the sources belong to, for example the port's protocol: it is the
// label "handler" of all their metrics, so that those of several handlers can be
// registered. Two sources of the same kind can't have the same.
func NewHandlerCollector(handler string, sources ...tally.Source) *HandlerCollector {
	return &HandlerCollector{handler, sources}
}

// Describe sends the descriptions of all metrics; it is for the registry.
func (c *HandlerCollector) Describe(ch chan<- *prometheus.Desc) {
	seen := make(map[string]bool)
	for _, source := range c.sources {
		for _, s := range source.Counters() {
			if !seen[s.Name] {
				seen[s.Name] = true
				ch <- c.desc(s)
			}
		}
	}
}

// Collect asks the sources; it is for the registry.
func (c *HandlerCollector) Collect(ch chan<- prometheus.Metric) {
	for _, source := range c.sources {
		for _, s := range source.Counters() {
			kind := prometheus.CounterValue
			if s.Gauge {
				kind = prometheus.GaugeValue
			}
			var values []string
			if s.Label != "" {
				values = []string{s.Value}
			}
			ch <- prometheus.MustNewConstMetric(c.desc(s), kind, s.N, values...)
		}
	}
}

func (c *HandlerCollector) desc(s tally.Sample) *prometheus.Desc {
	var labels []string
	if s.Label != "" {
		labels = []string{s.Label}
	}
	return prometheus.NewDesc("nsreactor_"+s.Name, s.Help, labels, prometheus.Labels{"handler": c.handler})
}
