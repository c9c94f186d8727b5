package toolkit

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

var head = []string{
	"namespaces × connections", "bytes", "server", "CPU µs", "ratio", "per second", "ratio", "p50 µs", "p99 µs", "PSS MiB", "CPU", "load CPU",
}

// rows has a line a server and cell.
func (f Figures) rows() [][]string {
	var rows [][]string
	for _, s := range f.Summaries {
		rows = append(rows, []string{
			s.Shape.String(), fmt.Sprint(s.Size), s.Server, fmt.Sprintf("%.2f", s.CPUMicros), interval(s.CPURatio),
			fmt.Sprintf("%.0f", s.Rate), interval(s.RateRatio), fmt.Sprintf("%.0f", s.P50), fmt.Sprintf("%.0f", s.P99),
			fmt.Sprintf("%.1f", s.PSSMB), fmt.Sprintf("%.2f", s.CPUShare), fmt.Sprintf("%.2f", s.LoadShare),
		})
	}
	return rows
}

// interval is an estimate as "1.023 (0.994–1.051)".
func interval(e *stats.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f)", e.Median, e.Low, e.High)
}

// part is what the figures are of.
func (f Figures) part() part {
	i := slices.IndexFunc(parts, func(p part) bool { return p.name == f.Part })
	if i < 0 {
		return part{title: f.Part} // of an older record
	}
	return parts[i]
}

// print writes all tables, and what they mean, for a terminal.
func (r Result) print(w io.Writer) {
	for _, f := range r.Parts {
		fmt.Fprintf(w, "\n%s\n", f.part().title)
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, strings.Join(head, "\t"))
		for _, row := range f.rows() {
			fmt.Fprintln(out, strings.Join(row, "\t"))
		}
		_ = out.Flush() // a terminal that is gone is no reason to stop
	}
	page.Verdicts(w, r.verdicts())
}

// verdicts hold the figures against the targets, cell by cell.
func (r Result) verdicts() []page.Verdict {
	var all []page.Verdict
	for _, f := range r.Parts {
		t := f.part().target
		for _, s := range f.Summaries {
			if t.what == "" || s.Server == s.Floor || s.CPURatio == nil || s.RateRatio == nil {
				continue
			}
			cell := trial.Cell{Shape: s.Shape, Size: s.Size, Depth: s.Depth, Kind: s.Kind}
			memory := f.memoryRatio(s)
			got := fmt.Sprintf("CPU a message × %s, messages a second × %s", interval(s.CPURatio), interval(s.RateRatio))
			if t.pss > 0 {
				got += fmt.Sprintf(", memory × %.2f", memory)
			}
			all = append(all, page.Verdict{
				What:    t.what + ", " + cell.String(),
				Got:     got,
				Reached: s.CPURatio.Median <= t.cpu && s.RateRatio.Median >= t.rate && (t.pss == 0 || memory < t.pss),
			})
		}
	}
	return all
}

// memoryRatio is a server's memory, with all connections open, as a ratio to its
// floor's.
func (f Figures) memoryRatio(s trial.Summary) float64 {
	for _, other := range f.Summaries {
		if other.Server == s.Floor && other.Shape == s.Shape && other.Size == s.Size && other.PSSMB > 0 {
			return s.PSSMB / other.PSSMB
		}
	}
	return math.NaN()
}

// Section writes the newest run's part of the results page.
func Section(w io.Writer, dir string) error {
	name, err := record.Newest(dir, "toolkit")
	if err != nil {
		return err
	}
	r, err := record.Load[trial.Window, Result](name)
	if err != nil {
		return err
	}
	page.Head(w, "The toolkit", r.Args, r.Machine, r.Seconds)
	page.Text(w, "What a protocol author builds with, beside what it stands in for: one CPU for each server, the load on the other, windows of load "+
		"that go round between servers that are all up. Ratios are to the first server of each cell, with the median's 95 %% interval.")
	page.Verdicts(w, r.Summary.verdicts())
	for _, f := range r.Summary.Parts {
		page.Text(w, "%s:", f.part().title)
		page.Table(w, head, f.rows())
	}
	page.Warnings(w, r.Warnings)
	return nil
}
