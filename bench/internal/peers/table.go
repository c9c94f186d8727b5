package peers

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// print writes all tables for a terminal.
func (r Result) print(w io.Writer) {
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n%s\n", t.title)
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, strings.Join(t.head, "\t"))
		for _, row := range t.rows {
			fmt.Fprintln(out, strings.Join(row, "\t"))
		}
		_ = out.Flush() // a terminal that is gone is no reason to stop
	}
}

// A table is what is shown of a part, on the terminal and on the page.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

// tables are the parts that were measured.
func (r Result) tables() []table {
	var all []table
	for _, cells := range byCell(r.summaries()) {
		all = append(all, r.throughputTable(cells))
	}
	if len(r.HTTP) > 0 {
		all = append(all, summaryTable("HTTP, keep-alive, a GET a message", "", r.HTTP))
	}
	if len(r.Open) > 0 {
		all = append(all, openTable(r.Open))
	}
	if len(r.Accept) > 0 {
		all = append(all, summaryTable("A connection a message: connect, 64 bytes there and back, reset", "", r.Accept))
	}
	if len(r.Idle) > 0 {
		all = append(all, idleTable(r.Idle))
	}
	return all
}

// summaries are the closed loop's, without what is particular to them.
func (r Result) summaries() []trial.Summary {
	all := make([]trial.Summary, len(r.Cells))
	for i, c := range r.Cells {
		all[i] = c.Summary
	}
	return all
}

// byCell cuts a list of summaries into those of one cell and rate each. They come cell
// by cell.
func byCell(all []trial.Summary) [][]trial.Summary {
	var groups [][]trial.Summary
	for i, s := range all {
		if i == 0 || cellOf(s) != cellOf(all[i-1]) || s.Asked != all[i-1].Asked {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], s)
	}
	return groups
}

func cellOf(s trial.Summary) trial.Cell {
	return trial.Cell{Shape: s.Shape, Size: s.Size, Depth: s.Depth, Kind: s.Kind}
}

func (r Result) throughputTable(cells []trial.Summary) table {
	t := table{title: "Echo, closed loop: " + cellOf(cells[0]).String(), head: []string{
		"server", "CPU µs", "to floor", "messages/s", "to floor", "p50 µs", "p99 µs", "PSS MiB", "threads", "CPU", "load CPU", "setns/event", "events/wait",
	}}
	for _, s := range cells {
		t.rows = append(t.rows, []string{
			s.Server, fmt.Sprintf("%.2f", s.CPUMicros), interval(s.CPURatio), fmt.Sprintf("%.0f", s.Rate), interval(s.RateRatio),
			fmt.Sprintf("%.0f", s.P50), fmt.Sprintf("%.0f", s.P99), fmt.Sprintf("%.1f", s.PSSMB), fmt.Sprint(s.Threads),
			fmt.Sprintf("%.2f", s.CPUShare), fmt.Sprintf("%.2f", s.LoadShare), counted(s.Switches, s.Batch), counted(s.Batch, s.Batch),
		})
	}
	return t
}

// counted is a figure of a server that counts, a dash of one that does not.
func counted(figure, batch float64) string {
	if batch == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", figure)
}

func summaryTable(title, note string, all []trial.Summary) table {
	t := table{title: title, note: note, head: []string{
		"namespaces × connections", "bytes", "server", "CPU µs", "to floor", "per second", "to floor", "p50 µs", "p99 µs", "CPU", "load CPU",
	}}
	for _, s := range all {
		t.rows = append(t.rows, []string{
			s.Shape.String(), fmt.Sprint(s.Size), s.Server, fmt.Sprintf("%.2f", s.CPUMicros), interval(s.CPURatio),
			fmt.Sprintf("%.0f", s.Rate), interval(s.RateRatio), fmt.Sprintf("%.0f", s.P50), fmt.Sprintf("%.0f", s.P99),
			fmt.Sprintf("%.2f", s.CPUShare), fmt.Sprintf("%.2f", s.LoadShare),
		})
	}
	return t
}

func openTable(all []trial.Summary) table {
	t := table{
		title: "Echo, open loop: 64 bytes at a given rate",
		note: "Latency counts from when a message was due, so a stall is felt by all that should have come meanwhile. p99.9 is over all windows together, " +
			"and then of the median window, which a machine that stops now and then spoils less.",
		head: []string{
			"namespaces × connections", "rate asked", "server", "rate", "p50 µs", "p99 µs", "p99.9 µs", "of the median window", "max µs", "CPU µs", "context switches", "load CPU", "dropped",
		},
	}
	for _, s := range all {
		t.rows = append(t.rows, []string{
			s.Shape.String(), fmt.Sprintf("%.0f", s.Asked), s.Server, fmt.Sprintf("%.0f", s.Rate), fmt.Sprintf("%.0f", s.P50),
			fmt.Sprintf("%.0f", s.P99), fmt.Sprintf("%.0f", s.P999), fmt.Sprintf("%.0f", s.TypicalP999), fmt.Sprintf("%.0f", s.Max), fmt.Sprintf("%.2f", s.CPUMicros),
			fmt.Sprintf("%.2f", s.Slices), fmt.Sprintf("%.2f", s.LoadShare), fmt.Sprint(s.Dropped),
		})
	}
	return t
}

func idleTable(all []Holding) table {
	t := table{
		title: "Idle connections",
		note:  "PSS of the server's process: what the kernel holds for a socket is not in it, and the same for all.",
		head: []string{
			"namespaces × connections", "server", "listening, MiB", "all open, MiB", "after a message on each, MiB", "bytes a connection, open", "after a message", "threads",
		},
	}
	for _, h := range all {
		t.rows = append(t.rows, []string{
			h.Shape, h.Server, mib(h.BarePSSKB), mib(h.OpenPSSKB), mib(h.AfterPSSKB), fmt.Sprintf("%.0f", h.OpenBytes),
			fmt.Sprintf("%.0f", h.AfterBytes), fmt.Sprint(h.Threads),
		})
	}
	return t
}

func mib(kb int) string { return fmt.Sprintf("%.1f", float64(kb)/1024) }

// interval is an estimate as "1.02 (0.99–1.05)".
func interval(e *stats.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", e.Median, e.Low, e.High)
}
