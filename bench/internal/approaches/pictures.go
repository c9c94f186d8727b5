package approaches

import (
	"errors"

	"github.com/nsreactor/nsreactor/bench/internal/figure"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// A picture is one metric by number of namespaces, with a line an approach.
type picture struct {
	suffix, title, y string
	key              string
	scale            float64
	log              bool
}

// all pictures have a logarithmic x axis: numbers of namespaces double rather than grow.
var pictures = []picture{
	{"rate", "Throughput on one CPU", "thousand requests a second", "rate", 1e-3, false},
	{"cpu", "Server CPU a request", "µs (logarithmic), less is better", "cpu_us", 1, true},
	{"p99", "Latency under full load, 99 %", "ms (logarithmic), less is better", "p99_us", 1e-3, true},
	{"memory", "Memory, all connections open", "MiB of PSS (logarithmic), less is better", "pss_mib", 1, true},
	{"threads", "Threads of all processes", "threads (logarithmic), less is better", "threads", 1, true},
	{"start", "From start to listening in all namespaces", "ms (logarithmic), less is better", "start_ms", 1, true},
}

// draw returns what draws the pictures of a result.
func (r Result) draw(m record.Machine) func(base string) ([]string, error) {
	return func(base string) ([]string, error) {
		var names []string
		var errs []error
		for _, p := range pictures {
			name := base + "-" + p.suffix
			names, errs = append(names, name), append(errs, r.lines(p, m.String()).Save(name))
		}
		return names, errors.Join(errs...)
	}
}

// lines is one picture.
func (r Result) lines(p picture, caption string) figure.Lines {
	var lines figure.Collector
	for _, c := range r.Cells {
		if f, measured := c.Figures[p.key]; measured {
			lines.Point(descriptions[c.Server], float64(c.Namespaces), f.Median*p.scale)
		}
	}
	return figure.Lines{
		Title: p.title, X: "network namespaces (logarithmic)", Y: p.y, Caption: caption, LogX: true, LogY: p.log, Series: lines.List(),
	}
}
