package trial

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// A Span is what a load does once.
type Span struct {
	Seconds float64 // that are measured
	Warmup  float64 // seconds of load before
	Rate    float64 // messages a second; 0 is as many as the server takes, with the cell's depth
}

// A Window is what was measured of one server within one span.
type Window struct {
	Server string  `json:"server"`
	Shape  Shape   `json:"shape"`
	Size   int     `json:"size"`
	Depth  int     `json:"depth"`
	Kind   Kind    `json:"kind"`
	Round  int     `json:"round"`
	Asked  float64 `json:"asked_rate"`

	Messages  uint64  `json:"messages"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"rate"`
	Dropped   uint64  `json:"dropped"`
	LoadShare float64 `json:"load_cpu_share"`

	CPUMicros float64 `json:"server_cpu_us_per_message"`
	CPUShare  float64 `json:"server_cpu_share"`
	// WaitShare is the time that server threads were runnable without running, summed
	// over threads. On a quiet machine it is next to nothing for a server of one. It and
	// Slices are 0 for a server of more than a thousand threads.
	WaitShare float64 `json:"server_wait_share"`
	// Slices is how often one of the server's threads lost or gave up its CPU.
	Slices float64 `json:"context_switches_per_message"`

	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`

	histogram *hdrhistogram.Histogram
}

// A Contestant is a server that runs, with a load that is connected to it.
type Contestant struct {
	Server  Server
	Process *Process
	cell    Cell
	load    *load
	pids    []int
	crowded bool // too many threads to look at each while the load runs
	// answered is how many messages the load had had back at the end of its last run.
	answered uint64
}

// Enter starts a server and its load, which connects and is silent then. Contestants
// that are there at the same time have different places, counted from 0.
func (h *Host) Enter(ctx context.Context, s Server, c Cell, place int) (*Contestant, error) {
	process, err := h.Serve(ctx, s, c, h.Port+place)
	if err != nil {
		return nil, err
	}
	load, err := h.load(ctx, c, h.Port+place)
	if err != nil {
		_, stopErr := process.Stop()
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Name, err), stopErr)
	}
	k := &Contestant{Server: s, Process: process, cell: c, load: load}
	if err := k.watch(); err != nil {
		_, leaveErr := k.Leave()
		return nil, errors.Join(err, leaveErr)
	}
	return k, nil
}

// mostThreads is how many threads of a server are looked at one by one at the ends of a
// window: more take tens of milliseconds of CPU time, which the window would miss.
const mostThreads = 1024

// watch tells the load which processes the server consists of: it reads their CPU
// clocks at the very ends of its window.
func (k *Contestant) watch() error {
	var err error
	if k.pids, err = k.Process.PIDs(); err != nil {
		return err
	}
	usage, err := lab.Measure(k.pids)
	if err != nil {
		return err
	}
	k.crowded = usage.Threads > mostThreads
	words := make([]string, len(k.pids))
	for i, pid := range k.pids {
		words[i] = strconv.Itoa(pid)
	}
	return k.load.tell("watch %s", strings.Join(words, " "))
}

// patientTries is how often a window without a single message is tried again, twice as
// long each time: on a busy machine a server may not get a CPU for a tenth of a second.
const patientTries = 6

// Measure lets the load run, once as a rule.
func (k *Contestant) Measure(ctx context.Context, span Span) (Window, error) {
	for range patientTries {
		w, err := k.measure(ctx, span)
		if err != nil || w.Messages > 0 {
			return w, err
		}
		span.Seconds *= 2
	}
	return Window{}, fmt.Errorf("%s: not one message in %v s; it said %q", k.Server.Name, span.Seconds/2, k.Process.stderr.String())
}

// measure lets the load run once. A window without messages is empty.
func (k *Contestant) measure(ctx context.Context, span Span) (Window, error) {
	var marks []lab.Usage
	report, err := k.load.window(ctx, span, func() error {
		if k.crowded {
			marks = append(marks, lab.Usage{})
			return nil
		}
		usage, err := lab.Measure(k.pids)
		marks = append(marks, usage)
		return err
	})
	if err != nil {
		return Window{}, fmt.Errorf("%s: %w; the server said %q", k.Server.Name, err, k.Process.stderr.String())
	}
	if len(marks) != 2 {
		return Window{}, fmt.Errorf("%s: the load has marked its window %d times instead of twice", k.Server.Name, len(marks))
	}
	if report.Messages == 0 {
		return Window{}, nil
	}
	k.answered = report.Answered
	return k.window(span, report, marks[0], marks[1]), nil
}

// window puts figures together.
func (k *Contestant) window(span Span, r loadReport, before, after lab.Usage) Window {
	w := Window{
		Server: k.Server.Name, Shape: k.cell.Shape, Size: k.cell.Size, Depth: k.cell.Depth, Kind: k.cell.Kind, Asked: span.Rate,
		Messages: r.Messages, Seconds: r.Seconds, Rate: r.Rate, Dropped: r.Dropped, LoadShare: r.CPUShare,
		CPUMicros: r.Watched / float64(r.Messages) * 1e6, CPUShare: r.Watched / r.Seconds,
		histogram: r.histogram(),
	}
	// The marks are taken a little after the window's ends, so their own distance counts.
	if between := after.At.Sub(before.At).Seconds(); between > 0 {
		w.WaitShare = (after.Wait - before.Wait).Seconds() / between
		w.Slices = (float64(after.Switches) - float64(before.Switches)) / between / r.Rate
	}
	w.P50, w.P99, w.P999, w.Max = micros(w.histogram, 50), micros(w.histogram, 99), micros(w.histogram, 99.9), micros(w.histogram, 100)
	return w
}

// micros is a percentile in microseconds.
func micros(h *hdrhistogram.Histogram, percentile float64) float64 {
	return float64(h.ValueAtQuantile(percentile)) / 1e3
}

// Once sends one message on each connection and waits for the answers.
func (k *Contestant) Once(ctx context.Context) error {
	if err := k.load.tell("once"); err != nil {
		return err
	}
	line, err := k.load.read(ctx, loadPatience)
	if err == nil && line != "done" {
		err = fmt.Errorf("load said %q instead of that it is done", line)
	}
	return err
}

// Life is what there is to say of a server at its end.
type Life struct {
	Server    string     `json:"server"`
	Shape     Shape      `json:"shape"`
	Size      int        `json:"size"`
	Depth     int        `json:"depth"`
	Kind      Kind       `json:"kind"`
	Started   float64    `json:"start_seconds"` // until it listened everywhere
	Memory    lab.Memory `json:"memory"`        // with all connections open, after the load
	Processes int        `json:"processes"`
	Threads   int        `json:"threads"`
	Counters  Counters   `json:"counters"`
	// Answered is how many messages the load has had back in all of its windows, with
	// what was sent before and after them: what Counters.Updates should say.
	Answered uint64 `json:"answered"`
}

// Look takes the server's memory, threads and processes as they are.
func (k *Contestant) Look() (Life, error) {
	life := Life{
		Server: k.Server.Name, Shape: k.cell.Shape, Size: k.cell.Size, Depth: k.cell.Depth, Kind: k.cell.Kind,
		Started: k.Process.Took.Seconds(), Answered: k.answered,
	}
	memory, err1 := lab.MeasureMemory(k.pids)
	usage, err2 := lab.Measure(k.pids)
	life.Memory, life.Processes, life.Threads = memory, usage.Processes, usage.Threads
	return life, errors.Join(err1, err2)
}

// Leave ends the load and the server.
func (k *Contestant) Leave() (Life, error) {
	life, err := k.Look()
	loadErr := k.load.close()
	counters, stopErr := k.Process.Stop()
	life.Counters = counters
	return life, errors.Join(err, loadErr, stopErr)
}
