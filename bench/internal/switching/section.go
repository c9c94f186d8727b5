package switching

import (
	"fmt"
	"io"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Section writes the newest run in dir as a part of the results page.
func Section(w io.Writer, dir string) error {
	name, err := record.Newest(dir, "switch")
	if err != nil {
		return err
	}
	r, err := record.Load[Row, Summary](name)
	if err != nil {
		return err
	}
	page.Head(w, "A namespace switch: the paper's Figures 7 and 8", r.Args, r.Machine, r.Seconds)
	page.Text(w, "Threads go round 1 to %d namespaces, in order or at random, each on a CPU of its own. Bare setns(2), `nsctx.Thread.Enter` "+
		"into another namespace (a miss) and into the one it is in (a hit) take turns in short blocks; ratios are of what ran side by "+
		"side, medians with a 95 %% bootstrap interval. Means are of calls that were timed together; quantiles are of single calls and have "+
		"%.0f ns of clock in them, but for hits and empty calls, which are timed %d at a time. With one namespace a switch is setns(2) to where the "+
		"thread is already, which costs the same. Dashed lines are the paper's figures, not measured here.", most(r.Rows), r.Summary.ClockMean, batch)
	page.Verdicts(w, verdicts(r))
	page.Pictures(w, r.Pictures)
	page.Table(w, latencyHead, latencyTable(r))
	end := page.Fold(w, "By threads and order")
	page.Table(w, threadsHead, threadsTable(r))
	end()
	page.Warnings(w, r.Warnings)
	return nil
}

var latencyHead = []string{
	"namespaces", "setns mean, ns", "p50", "p99", "miss mean, ns", "p50", "p99", "max, µs", "hit, ns", "getppid, ns", "empty call, ns",
	"miss to setns", "miss to one namespace",
}

// latencyTable is the paper's figures: one thread, in order.
func latencyTable(r *record.Record[Row, Summary]) [][]string {
	var lines [][]string
	for _, l := range tableLines(r) {
		if l.Threads != r.Rows[0].Threads || l.Order != Sequential {
			continue
		}
		setns, miss := l.rows[Setns], l.rows[Miss]
		lines = append(lines, []string{
			fmt.Sprint(l.Namespaces), whole(setns.Mean), whole(setns.P50), whole(setns.P99), whole(miss.Mean), whole(miss.P50), whole(miss.P99),
			whole(miss.Max / 1000), fine(l.rows[Hit].Mean), whole(l.rows[Empty].Mean), fine(l.rows[Call].Mean),
			interval(l.MissRatio), interval(l.MissFlat),
		})
	}
	return lines
}

var threadsHead = []string{"threads and order", "namespaces", "setns mean, ns", "miss mean, ns", "p99", "miss to setns", "miss to one namespace"}

// threadsTable has the ends, for each number of threads and order.
func threadsTable(r *record.Record[Row, Summary]) [][]string {
	var lines [][]string
	last := most(r.Rows)
	for _, l := range tableLines(r) {
		if l.Namespaces != 1 && l.Namespaces != closeUp && l.Namespaces != 512 && l.Namespaces != last {
			continue
		}
		miss := l.rows[Miss]
		lines = append(lines, []string{
			fmt.Sprintf("%d, %s", l.Threads, l.Order), fmt.Sprint(l.Namespaces), whole(l.rows[Setns].Mean), whole(miss.Mean), whole(miss.P99),
			interval(l.MissRatio), interval(l.MissFlat),
		})
	}
	return lines
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }
func fine(v float64) string  { return fmt.Sprintf("%.2f", v) }
