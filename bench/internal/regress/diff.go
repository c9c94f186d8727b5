package regress

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// An Outcome is what became of one metric.
type Outcome string

// The outcomes. Only a regression and a missing metric fail a run: what is new or better
// wants a new baseline, not a halt.
const (
	same      Outcome = "ok"
	better    Outcome = "better"
	regressed Outcome = "REGRESSED"
	added     Outcome = "new"
	missing   Outcome = "MISSING"
)

// A Line is a metric beside its expectation.
type Line struct {
	Name     string  `json:"name"`
	Expected float64 `json:"expected"`
	Limit    float64 `json:"limit"`
	Value    float64 `json:"value"`
	Exact    bool    `json:"exact"`
	Outcome  Outcome `json:"outcome"`
}

// compare puts metrics beside what was expected of them.
func compare(b Baseline, now []Metric, short bool) []Line {
	var lines []Line
	for _, m := range now {
		line := Line{Name: m.Name, Value: m.Value, Exact: m.Exact, Outcome: added}
		i := slices.IndexFunc(b.Expectations, func(e Expectation) bool { return e.Name == m.Name })
		if i >= 0 {
			e := b.Expectations[i]
			line.Expected, line.Limit, line.Outcome = e.Value, e.limit(), e.judge(m)
		}
		lines = append(lines, line)
	}
	for _, e := range b.Expectations {
		measured := slices.ContainsFunc(now, func(m Metric) bool { return m.Name == e.Name })
		if !measured && (e.Exact || !short) {
			lines = append(lines, Line{Name: e.Name, Expected: e.Value, Limit: e.limit(), Exact: e.Exact, Outcome: missing})
		}
	}
	return lines
}

// judge compares a metric. A count that has to hold exactly may not even be better:
// that it changed wants to be seen, and written down.
func (e Expectation) judge(m Metric) Outcome {
	worse := m.Value > e.limit()
	gain := m.Value < e.Value*(1-e.Tolerance)
	if e.More {
		worse, gain = m.Value < e.limit(), m.Value > e.Value*(1+e.Tolerance)
	}
	switch {
	case e.Exact && m.Value != e.Value, worse:
		return regressed
	case gain:
		return better
	}
	return same
}

// failures counts the lines that fail a run.
func failures(lines []Line) int {
	n := 0
	for _, line := range lines {
		if line.Outcome == regressed || line.Outcome == missing {
			n++
		}
	}
	return n
}

// printLines writes the comparison for a terminal.
func printLines(w io.Writer, lines []Line) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "figure\tbaseline\tnow\tchange\tlimit\t")
	for _, row := range rows(lines) {
		for _, cell := range row {
			fmt.Fprint(out, cell, "\t")
		}
		fmt.Fprintln(out)
	}
	_ = out.Flush() // a terminal that is gone is no reason to stop
}

// rows are the comparison's lines as text.
func rows(lines []Line) [][]string {
	var all [][]string
	for _, l := range lines {
		expected, limit, change, now := number(l.Expected), number(l.Limit), "–", number(l.Value)
		switch {
		case l.Outcome == added:
			expected, limit = "–", "–"
		case l.Outcome == missing:
			now = "–"
		case l.Exact:
			limit = "exactly"
		case l.Expected != 0:
			change = fmt.Sprintf("%+.1f %%", (l.Value/l.Expected-1)*100)
		}
		all = append(all, []string{l.Name, expected, now, change, limit, string(l.Outcome)})
	}
	return all
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }
