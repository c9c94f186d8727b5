package parallel

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

var tableHead = []string{
	"server", "µs of work", "requests/s", "to one loop of nsreactor", "CPU a request, µs", "CPUs used", "p50 µs", "p99 µs", "on the receiving CPU", "load's CPU",
}

// table has a line a server and cost.
func (s Summary) table() [][]string {
	var lines [][]string
	for _, p := range s.Points {
		lines = append(lines, []string{
			p.Server, fmt.Sprint(p.Work), fmt.Sprintf("%.0f", p.Rate), interval(p.RateRatio), fmt.Sprintf("%.2f", p.CPUMicros),
			fmt.Sprintf("%.2f", p.CPUShare), fmt.Sprintf("%.0f", p.P50), fmt.Sprintf("%.0f", p.P99), percent(p.share()), percent(p.LoadShare),
		})
	}
	return lines
}

// printTable prints it for a terminal.
func printTable(w io.Writer, s Summary) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(tableHead, "\t"))
	for _, line := range s.table() {
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	_ = table.Flush() // a terminal that is gone is no reason to lose the figures
}

// interval is a median with the ends of its interval.
func interval(e *stats.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f [%.2f, %.2f]", e.Median, e.Low, e.High)
}

func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", share*100)
}
