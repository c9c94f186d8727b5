package switching

import (
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/figure"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// closeUp is where the paper's Figure 7 ends.
const closeUp = 64

// draw makes the pictures of a run.
func draw(base string, r *record.Record[Row, Summary]) ([]string, error) {
	names := []string{base + "-fig7", base + "-fig8", base + "-threads"}
	seven := figure.Lines{
		Title: "A namespace switch, close-up (the paper's Figure 7)", X: "network namespaces", Y: "µs a switch (logarithmic)",
		Caption: r.Machine.String(), LogY: true, Series: latencies(r.Rows, closeUp),
	}
	eight := figure.Lines{
		Title: "A namespace switch (the paper's Figure 8, and on)", X: "network namespaces (logarithmic)", Y: "µs a switch (logarithmic)",
		Caption: r.Machine.String(), LogX: true, LogY: true, Series: latencies(r.Rows, most(r.Rows)),
	}
	threads := figure.Lines{
		Title: "nsctx.Thread.Enter on a miss, by threads at once and by order", X: "network namespaces (logarithmic)", Y: "µs a switch, mean",
		Caption: r.Machine.String(), LogX: true, Series: byThreads(r.Rows),
	}
	return names, errors.Join(seven.Save(names[0]), eight.Save(names[1]), threads.Save(names[2]))
}

// most is how many namespaces there were at most.
func most(rows []Row) int {
	n := 0
	for _, row := range rows {
		n = max(n, row.Namespaces)
	}
	return n
}

// latencies is one thread's lines up to some number of namespaces, going round in
// order, beside the paper's.
func latencies(rows []Row, upTo int) []figure.Series {
	one := choose(rows, func(r Row) bool { return r.Threads == rows[0].Threads && r.Order == Sequential && r.Namespaces <= upTo })
	mean := func(r Row) float64 { return r.Mean }
	all := []figure.Series{
		line("bare setns(2), mean", one, Setns, mean),
		line("Thread.Enter on a miss, mean", one, Miss, mean),
		line("Thread.Enter on a miss, p99", one, Miss, func(r Row) float64 { return r.P99 }),
		line("getppid(2), an empty system call", one, Empty, mean),
		line("Thread.Enter on a hit, mean", one, Hit, mean),
	}
	return append(all, paperSeries(float64(upTo))...)
}

// byThreads has a line for each number of threads and order.
func byThreads(rows []Row) []figure.Series {
	var all []figure.Series
	seen := map[string]bool{}
	for _, first := range rows {
		name := fmt.Sprintf("%d thread%s, %s", first.Threads, plural(first.Threads), first.Order)
		if seen[name] {
			continue
		}
		seen[name] = true
		own := choose(rows, func(r Row) bool { return r.Threads == first.Threads && r.Order == first.Order })
		all = append(all, line(name, own, Miss, func(r Row) float64 { return r.Mean }))
	}
	return all
}

// line is one thing by number of namespaces, in microseconds.
func line(name string, rows []Row, what What, nanos func(Row) float64) figure.Series {
	s := figure.Series{Name: name}
	for _, row := range rows {
		if row.What == what {
			s.X, s.Y = append(s.X, float64(row.Namespaces)), append(s.Y, nanos(row)/1000)
		}
	}
	return s
}

func choose(rows []Row, keep func(Row) bool) []Row {
	var kept []Row
	for _, row := range rows {
		if keep(row) {
			kept = append(kept, row)
		}
	}
	return kept
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
