package switching

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// A line of a table is one point: what was measured there, and its ratios.
type tableLine struct {
	Point
	rows map[What]Row
}

// tableLines puts rows and ratios together, in the order of points.
func tableLines(r *record.Record[Row, Summary]) []tableLine {
	rows := map[place]map[What]Row{}
	for _, row := range r.Rows {
		p := place{row.Namespaces, row.Threads, row.Order}
		if rows[p] == nil {
			rows[p] = map[What]Row{}
		}
		rows[p][row.What] = row
	}
	var lines []tableLine
	for _, p := range r.Summary.Points {
		lines = append(lines, tableLine{p, rows[place{p.Namespaces, p.Threads, p.Order}]})
	}
	return lines
}

// printTable prints a run for a terminal.
func printTable(w io.Writer, r *record.Record[Row, Summary]) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "threads\torder\tnamespaces\tsetns ns\tmiss ns\tmiss p99\tmiss max\tmiss/setns\tmiss/miss at 1\thit ns\tgetppid ns\tcall ns\t")
	for _, l := range tableLines(r) {
		miss := l.rows[Miss]
		fmt.Fprintf(table, "%d\t%s\t%d\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t%.2f\t%.0f\t%.2f\t\n", l.Threads, l.Order, l.Namespaces,
			l.rows[Setns].Mean, miss.Mean, miss.P99, miss.Max, interval(l.MissRatio), interval(l.MissFlat),
			l.rows[Hit].Mean, l.rows[Empty].Mean, l.rows[Call].Mean)
	}
	_ = table.Flush() // a terminal that is gone is no reason to lose the figures
	fmt.Fprintf(w, "\nEach single call that is timed has %.0f ns of clock in it; means have not.\n", r.Summary.ClockMean)
}

// interval is a median with the ends of its interval.
func interval(e stats.Estimate) string {
	return fmt.Sprintf("%.2f [%.2f, %.2f]", e.Median, e.Low, e.High)
}
