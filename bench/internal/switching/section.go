package switching

import (
	"fmt"
	"io"

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
	fmt.Fprint(w, "## A namespace switch: the paper's Figures 7 and 8\n\n")
	writeIntroduction(w, r)
	writeLatencies(w, r)
	for i, text := range []string{"close-up, as the paper's Figure 7", "to the most namespaces, as its Figure 8", "by threads at once and by order"} {
		if i < len(r.Pictures) {
			fmt.Fprintf(w, "![A namespace switch, %s](%s.svg)\n\n", text, r.Pictures[i])
		}
	}
	writeThreads(w, r)
	writeVerdicts(w, r)
	return nil
}

func writeIntroduction(w io.Writer, r *record.Record[Row, Summary]) {
	fmt.Fprintf(w, "Threads go round 1 to %d namespaces, in order or at random, each on a CPU of its own. Bare setns(2), `nsctx.Thread.Enter` "+
		"into another namespace (a miss) and into the one it is in (a hit) take turns in short blocks; ratios are of what ran side by "+
		"side, medians with a 95 %% interval. Means are of calls that were timed together; the quantiles are of single calls and have "+
		"%.0f ns of clock in them, but for hits and empty calls, which are timed %d at a time. With one namespace a switch is setns(2) to where the "+
		"thread is already, which costs the same. Machine: %v. The run took %.0f s.\n\n", most(r.Rows), r.Summary.ClockMean, batch, r.Machine, r.Seconds)
}

// writeLatencies is the table of the paper's figures: one thread, in order.
func writeLatencies(w io.Writer, r *record.Record[Row, Summary]) {
	fmt.Fprintln(w, "| namespaces | setns mean | p50 | p99 | miss mean | p50 | p99 | max | hit | getppid | empty call | miss ÷ setns | miss ÷ at one |")
	fmt.Fprintln(w, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, l := range tableLines(r) {
		if l.Threads != r.Rows[0].Threads || l.Order != Sequential {
			continue
		}
		setns, miss := l.rows[Setns], l.rows[Miss]
		fmt.Fprintf(w, "| %d | %.0f ns | %.0f ns | %.0f ns | %.0f ns | %.0f ns | %.0f ns | %.0f µs | %.2f ns | %.0f ns | %.2f ns | %s | %s |\n", l.Namespaces,
			setns.Mean, setns.P50, setns.P99, miss.Mean, miss.P50, miss.P99, miss.Max/1000, l.rows[Hit].Mean, l.rows[Empty].Mean, l.rows[Call].Mean,
			interval(l.MissRatio), interval(l.MissFlat))
	}
	fmt.Fprintln(w)
}

// writeThreads is a table of the ends, for each number of threads and order.
func writeThreads(w io.Writer, r *record.Record[Row, Summary]) {
	fmt.Fprintln(w, "| threads | order | namespaces | setns mean | miss mean | p99 | miss ÷ setns | miss ÷ at one |")
	fmt.Fprintln(w, "|--:|---|--:|--:|--:|--:|--:|--:|")
	last := most(r.Rows)
	for _, l := range tableLines(r) {
		if l.Namespaces != 1 && l.Namespaces != closeUp && l.Namespaces != 512 && l.Namespaces != last {
			continue
		}
		fmt.Fprintf(w, "| %d | %s | %d | %.0f ns | %.0f ns | %.0f ns | %s | %s |\n", l.Threads, l.Order, l.Namespaces,
			l.rows[Setns].Mean, l.rows[Miss].Mean, l.rows[Miss].P99, interval(l.MissRatio), interval(l.MissFlat))
	}
	fmt.Fprintln(w)
}

func writeVerdicts(w io.Writer, r *record.Record[Row, Summary]) {
	var good, bad []string
	for _, v := range verdicts(r) {
		if v.reached {
			good = append(good, v.text)
		} else {
			bad = append(bad, v.text)
		}
	}
	bad = append(bad, r.Warnings...)
	writeList(w, "What was reached", good)
	writeList(w, "What does not look good", bad)
}

func writeList(w io.Writer, head string, lines []string) {
	fmt.Fprintf(w, "### %s\n\n", head)
	if len(lines) == 0 {
		lines = []string{"Nothing."}
	}
	for _, line := range lines {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintln(w)
}
