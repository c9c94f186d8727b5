package approaches

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// print writes the table for a terminal.
func (r Result) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "\n%s\n", strings.Join(head(), "\t"))
	for _, row := range r.rows() {
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	_ = out.Flush() // a terminal that is gone is no reason to stop
}

// head are the table's columns.
func head() []string {
	names := []string{"namespaces", "approach"}
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return append(names, "load CPU", "company")
}

// rows are the table's lines.
func (r Result) rows() [][]string {
	var rows [][]string
	for _, c := range r.Cells {
		row := []string{fmt.Sprint(c.Namespaces), c.Server}
		for _, m := range metrics {
			row = append(row, c.text(m))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.0f %%", c.LoadShare*100), fmt.Sprintf("%.2f", c.Company)))
	}
	return rows
}

// text is a figure, or a dash.
func (c Cell) text(m metric) string {
	f, measured := c.Figures[m.key]
	if !measured {
		return "–"
	}
	return m.format(f.Median)
}

// ratioHead and ratioRows are the same as ratios.
func ratioHead() []string {
	names := []string{"namespaces", "approach"}
	for _, m := range metrics {
		if m.phrase != "" {
			names = append(names, m.phrase)
		}
	}
	return names
}

func (r Result) ratioRows() [][]string {
	var rows [][]string
	for _, c := range r.Cells {
		if c.Server == anyMode {
			continue
		}
		row := []string{fmt.Sprint(c.Namespaces), c.Server}
		for _, m := range metrics {
			if m.phrase != "" {
				row = append(row, interval(c.Figures[m.key].ToAny))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// interval is an estimate as "1.02 (0.99–1.05)".
func interval(e *stats.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(e.Median), digits(e.Low), digits(e.High))
}
