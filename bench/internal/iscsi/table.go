package iscsi

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/nsreactor/nsreactor/bench/internal/page"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// Result is what a run comes to.
type Result struct {
	Figures []Figure `json:"figures"`
	Calls   []Calls  `json:"calls"`
}

// A Figure is the medians of a case on a server's disk, and its ratios to tgtd's within
// the same rounds.
type Figure struct {
	Case      string          `json:"case"`
	Server    string          `json:"server"`
	Medium    string          `json:"medium"`
	IOPS      float64         `json:"iops"`
	CPU       float64         `json:"cpu_us"`
	Share     float64         `json:"server_share"`
	Client    float64         `json:"client_share"`
	IOPSRatio *stats.Estimate `json:"iops_ratio,omitempty"`
	CPURatio  *stats.Estimate `json:"cpu_ratio,omitempty"`
}

// sum makes figures of runs, in their order.
func sum(rows []Run) []Figure {
	groups := map[[3]string][]Run{}
	var order [][3]string
	floors := map[string][]Run{}
	for _, r := range rows {
		key := [3]string{r.Case, r.Server, r.Medium}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], r)
		if r.Server == "tgtd" {
			floors[r.Case] = append(floors[r.Case], r)
		}
	}
	var all []Figure
	for _, key := range order {
		all = append(all, figure(groups[key], floors[key[0]]))
	}
	return all
}

func figure(runs, floor []Run) Figure {
	median := func(value func(Run) float64) float64 { return stats.Median(stats.Column(runs, value)) }
	f := Figure{
		Case: runs[0].Case, Server: runs[0].Server, Medium: runs[0].Medium,
		IOPS: median(iops), CPU: median(cpu),
		Share:  median(func(r Run) float64 { return r.Share }),
		Client: median(func(r Run) float64 { return r.Client }),
	}
	if f.Server != "tgtd" && len(floor) > 0 {
		f.IOPSRatio, f.CPURatio = ratio(runs, floor, iops), ratio(runs, floor, cpu)
	}
	return f
}

func iops(r Run) float64 { return r.IOPS }
func cpu(r Run) float64  { return r.CPU }

// ratio is of what stands in the same round.
func ratio(runs, floor []Run, value func(Run) float64) *stats.Estimate {
	round := func(r Run) int { return r.Round }
	quotients := stats.Ratios(stats.ByRound(runs, round, value), stats.ByRound(floor, round, value))
	if len(quotients) == 0 {
		return nil
	}
	e := stats.Bootstrap(quotients)
	return &e
}

var head = []string{
	"case", "server", "volume", "I/Os a second", "ratio", "MB/s", "server CPU µs an I/O", "ratio", "system calls an I/O", "server CPU", "client CPU",
}

// rows has a line a figure.
func (r Result) rows() [][]string {
	var rows [][]string
	for _, f := range r.Figures {
		calls := "–"
		if c, ok := r.calls(f); ok {
			calls = fmt.Sprintf("%.2f", c.Total)
		}
		rows = append(rows, []string{
			f.Case, f.Server, f.Medium, fmt.Sprintf("%.0f", f.IOPS), interval(f.IOPSRatio),
			fmt.Sprintf("%.0f", f.IOPS*float64(f.block())/1e6), fmt.Sprintf("%.1f", f.CPU), interval(f.CPURatio),
			calls, fmt.Sprintf("%.2f", f.Share), fmt.Sprintf("%.2f", f.Client),
		})
	}
	return rows
}

// load is what a figure is of.
func (f Figure) load() load {
	for _, k := range cases {
		if k.name == f.Case {
			return k
		}
	}
	return load{} // of an older record
}

func (f Figure) block() int { return f.load().block }

func (r Result) calls(f Figure) (Calls, bool) {
	for _, c := range r.Calls {
		if c.Case == f.Case && c.Server == f.Server && c.Medium == f.Medium {
			return c, true
		}
	}
	return Calls{}, false
}

// interval is an estimate as "1.02 (0.99–1.05)".
func interval(e *stats.Estimate) string {
	if e == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", e.Median, e.Low, e.High)
}

// verdicts hold the figures against the targets.
func (r Result) verdicts() []page.Verdict {
	var all []page.Verdict
	for _, f := range r.Figures {
		if f.IOPSRatio == nil || f.CPURatio == nil {
			continue
		}
		on := f.Case + ", " + f.Medium + " volume"
		rate := "× " + interval(f.IOPSRatio)
		switch k := f.load(); {
		case k.null && k.depth == 1:
			all = append(all, page.Verdict{What: "latency no worse than tgtd's: " + on, Got: "I/Os a second " + rate, Reached: f.IOPSRatio.Median >= 1})
		case f.Case == random4K:
			all = append(all,
				page.Verdict{What: "1.5 times tgtd's I/Os a second: " + on, Got: rate, Reached: f.IOPSRatio.Median >= 1.5},
				page.Verdict{What: "0.6 times tgtd's CPU an I/O: " + on, Got: "× " + interval(f.CPURatio), Reached: f.CPURatio.Median <= 0.6})
		case k.block >= 64<<10:
			all = append(all, page.Verdict{What: "1.2 times tgtd's: " + on, Got: rate, Reached: f.IOPSRatio.Median >= 1.2})
		}
		if c, ok := r.calls(f); ok && f.load().depth == 32 {
			all = append(all, page.Verdict{What: "fewer than 2 system calls an I/O: " + on, Got: fmt.Sprintf("%.2f", c.Total), Reached: c.Total < 2})
		}
	}
	return all
}

// print writes the table, and what it means, for a terminal.
func (r Result) print(w io.Writer) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, strings.Join(head, "\t"))
	for _, row := range r.rows() {
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	_ = out.Flush() // a terminal that is gone is no reason to stop
	page.Verdicts(w, r.verdicts())
}

// Section writes the newest run's part of the results page.
func Section(w io.Writer, dir string) error {
	name, err := record.Newest(dir, "iscsi")
	if err != nil {
		return err
	}
	r, err := record.Load[Run, Result](name)
	if err != nil {
		return err
	}
	page.Head(w, "iSCSI", r.Args, r.Machine, r.Seconds)
	page.Text(w, "examples/iscsi-stub with one loop against %s: the same clients on the same media, in turns within each round. Reads are iscsi-perf's, "+
		"writes and the 1 MiB reads `qemu-img bench`'s. Ratios are to tgtd's file on tmpfs, or its null volume, with the median's 95 %% interval.",
		strings.Join(r.Versions, ", "))
	page.Verdicts(w, r.Summary.verdicts())
	page.Table(w, head, r.Summary.rows())
	page.Warnings(w, r.Warnings)
	return nil
}
