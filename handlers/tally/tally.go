// Package tally is how a handler says what it has counted, so that package metrics
// can show it without knowing the handler, and the handler without knowing Prometheus.
package tally

// Sample is one number.
type Sample struct {
	// Name is what is counted, in the form of metrics, as "limit_refused_total": a
	// counter's ends in "_total", and has the unit before it if there is one.
	Name string
	// Help says in a sentence what the number is. It is the same for one Name.
	Help string
	// Gauge says that the number may fall.
	Gauge bool
	// Label and Value tell samples of one Name apart, as "reason" and "peer". The
	// values are few and fixed; an empty Label is none.
	Label, Value string
	// N is the number.
	N float64
}

// Source has samples. It returns the same ones at every call but for their N, those at 0
// included, and any goroutine may call it.
type Source interface {
	Counters() []Sample
}

// Count is a sample of a counter.
func Count(name, help string, n uint64) Sample { return Sample{Name: name, Help: help, N: float64(n)} }

// Gauge is a sample of a gauge.
func Gauge(name, help string, n float64) Sample {
	return Sample{Name: name, Help: help, Gauge: true, N: n}
}

// By is the sample with a label.
func (s Sample) By(label, value string) Sample {
	s.Label, s.Value = label, value
	return s
}
