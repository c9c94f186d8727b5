package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// A report is everything of a run; it is what the JSON file holds.
type report struct {
	Machine   machine   `json:"machine"`
	Command   string    `json:"command"`
	Seconds   float64   `json:"seconds"`
	Warmup    float64   `json:"warmup"`
	Summaries []summary `json:"summaries"`
	Results   []result  `json:"results"`
}

// printCell prints one cell's table and what speaks against trusting it.
func printCell(w io.Writer, servers []server, c cell, summaries []summary) {
	fmt.Fprintf(w, "\n%v\n", c)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "server\tCPU µs\tto floor (min–max)\trate/s\tto floor\tp50 µs\tp99 µs\tRSS MiB\tthreads\tCPU\twait\tload CPU\tsw/ev\tev/wait")
	for _, s := range summaries {
		fmt.Fprintf(table, "%s\t%.2f\t%s\t%.0f\t%s\t%.0f\t%.0f\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\n",
			s.Server, s.CPUMicros, describeRatio(s.CPURatio, s.Floor), s.Rate, shortRatio(s.RateRatio), s.P50, s.P99,
			s.RSSMB, s.Threads, s.CPUShare, s.WaitShare, s.LoadShare, s.Switches, s.Batch)
	}
	_ = table.Flush()
	for _, s := range noise(servers, summaries) {
		fmt.Fprintf(w, "noisy: %s varies by %.0f %% from round to round and lacked its CPU %.0f %% of the time\n",
			s.Server, s.Spread*100, s.WaitShare*100)
	}
}

func describeRatio(r *ratio, floor string) string {
	if r == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f) %s", r.Median, r.Min, r.Max, floor)
}

func shortRatio(r *ratio) string {
	if r == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", r.Median)
}

// save writes the report as JSON and its results as CSV, and returns the files' common
// name without an ending.
func (r *report) save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	stamp := strings.NewReplacer(":", "", "-", "").Replace(r.Machine.Date)
	name := filepath.Join(dir, "echo-"+stamp)
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	file, err := os.Create(name + ".csv")
	if err != nil {
		return "", err
	}
	defer file.Close()
	return name, r.writeCSV(file)
}

// writeCSV writes one line for each trial.
func (r *report) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{
		"date", "commit", "kernel", "cpu", "cpus", "go",
		"server", "shape", "size", "depth", "round", "messages", "rate", "p50_us", "p99_us", "p999_us",
		"server_cpu_us_per_message", "server_cpu_share", "server_wait_share", "server_slices_per_message",
		"server_rss_kb", "server_threads", "load_cpu_share", "events", "epoll_waits", "switches",
	})
	m := r.Machine
	for _, t := range r.Results {
		_ = out.Write(fields(m.Date, m.Commit, m.Kernel, m.CPU, m.CPUs, m.Go,
			t.Server, t.Shape, t.Size, t.Depth, t.Round, t.Load.Messages, t.Load.Rate, t.Load.P50, t.Load.P99, t.Load.P999,
			t.CPUMicros, t.CPUShare, t.WaitShare, t.Slices,
			t.RSSKB, t.Threads, t.Load.CPUShare, t.Counters.Events, t.Counters.Waits, t.Counters.Switches))
	}
	out.Flush()
	return out.Error()
}

// fields formats values for a line of CSV.
func fields(values ...any) []string {
	line := make([]string, len(values))
	for i, value := range values {
		if number, ok := value.(float64); ok {
			line[i] = fmt.Sprintf("%.5g", number)
		} else {
			line[i] = fmt.Sprint(value)
		}
	}
	return line
}
