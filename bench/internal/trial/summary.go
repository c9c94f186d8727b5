package trial

import (
	"fmt"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// From these on, figures deserve distrust.
const (
	noisySpread = 0.10 // of a floor's CPU a message between its quartiles
	noisyWait   = 0.02 // of the time a floor was runnable without its CPU: something else had it
	busyLoad    = 0.90 // of its CPU the load used: it may be what limits the rate
)

// A Summary is what a server's windows in one cell come to: medians, ratios to its
// floor by round, and latencies over all windows together.
type Summary struct {
	Server  string  `json:"server"`
	Floor   string  `json:"floor"`
	Shape   Shape   `json:"shape"`
	Size    int     `json:"size"`
	Depth   int     `json:"depth"`
	Kind    Kind    `json:"kind"`
	Asked   float64 `json:"asked_rate"`
	Windows int     `json:"windows"`

	CPUMicros float64         `json:"server_cpu_us_per_message"`
	CPURatio  *stats.Estimate `json:"cpu_ratio,omitempty"`
	Rate      float64         `json:"rate"`
	RateRatio *stats.Estimate `json:"rate_ratio,omitempty"`
	CPUShare  float64         `json:"server_cpu_share"`
	WaitShare float64         `json:"server_wait_share"`
	LoadShare float64         `json:"load_cpu_share"`
	Slices    float64         `json:"context_switches_per_message"`
	Spread    float64         `json:"cpu_spread"`
	Dropped   uint64          `json:"dropped"`

	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
	// TypicalP999 is the median of the windows' own 99.9 % quantiles: a machine that
	// stops for some milliseconds every second spoils a few windows, not all.
	TypicalP999 float64 `json:"typical_p999_us"`

	PSSMB     float64 `json:"pss_mb"`
	Processes int     `json:"processes"`
	Threads   int     `json:"threads"`
	Started   float64 `json:"start_seconds"`
	Switches  float64 `json:"switches_per_event"`
	Batch     float64 `json:"events_per_wait"`
	PerWait   float64 `json:"switches_per_wait"`
}

// Summarize sums up one cell's results in the order of servers. Servers without a
// window are left out.
func Summarize(servers []Server, r Results) []Summary {
	var all []Summary
	for _, s := range servers {
		own := pick(r.Windows, s.Name)
		if len(own) == 0 {
			continue
		}
		w := own[0]
		out := Summary{
			Server: s.Name, Floor: s.Floor, Shape: w.Shape, Size: w.Size, Depth: w.Depth, Kind: w.Kind, Asked: w.Asked,
			Windows: len(own),
		}
		out.fill(own)
		out.compare(own, pick(r.Windows, s.Floor))
		out.live(r.Lives)
		all = append(all, out)
	}
	return all
}

// pick returns one server's windows.
func pick(windows []Window, name string) []Window {
	return slices.DeleteFunc(slices.Clone(windows), func(w Window) bool { return w.Server != name })
}

// fill computes medians, and quantiles of all latencies.
func (s *Summary) fill(own []Window) {
	of := func(value func(Window) float64) float64 { return stats.Median(stats.Column(own, value)) }
	s.CPUMicros, s.Rate = of(cpuMicros), of(rate)
	s.CPUShare = of(func(w Window) float64 { return w.CPUShare })
	s.WaitShare = of(func(w Window) float64 { return w.WaitShare })
	s.LoadShare = of(func(w Window) float64 { return w.LoadShare })
	s.Slices = of(func(w Window) float64 { return w.Slices })
	if len(own) > 1 {
		s.Spread = stats.Spread(stats.Column(own, cpuMicros))
	}
	s.TypicalP999 = of(func(w Window) float64 { return w.P999 })
	all := hdrhistogram.New(1, longestLatency, digits)
	for _, w := range own {
		s.Dropped += w.Dropped
		if w.histogram != nil {
			all.Merge(w.histogram)
		}
	}
	s.P50, s.P99, s.P999, s.Max = micros(all, 50), micros(all, 99), micros(all, 99.9), micros(all, 100)
}

// compare computes the ratios to the floor's windows of the same rounds.
func (s *Summary) compare(own, floor []Window) {
	s.CPURatio = ratio(own, floor, cpuMicros)
	s.RateRatio = ratio(own, floor, rate)
}

// ratio divides round by round, as both sides of a round ran next to each other. It is
// nil if no round has both.
func ratio(own, floor []Window, value func(Window) float64) *stats.Estimate {
	quotients := stats.Ratios(stats.ByRound(own, round, value), stats.ByRound(floor, round, value))
	if len(quotients) == 0 {
		return nil
	}
	e := stats.Bootstrap(quotients)
	return &e
}

// live takes over what the server's life says.
func (s *Summary) live(lives []Life) {
	i := slices.IndexFunc(lives, func(l Life) bool { return l.Server == s.Server })
	if i < 0 {
		return
	}
	l := lives[i]
	s.PSSMB, s.Processes, s.Threads, s.Started = float64(l.Memory.PSS)/1024, l.Processes, l.Threads, l.Started
	s.Switches, s.Batch = quotient(l.Counters.Switches, l.Counters.Events), quotient(l.Counters.Events, l.Counters.Waits)
	s.PerWait = quotient(l.Counters.Switches, l.Counters.Waits)
}

func cpuMicros(w Window) float64 { return w.CPUMicros }
func rate(w Window) float64      { return w.Rate }
func round(w Window) int         { return w.Round }

// quotient is 0 where there is nothing to divide by.
func quotient(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Doubts lists what speaks against the figures of one cell.
func Doubts(servers []Server, summaries []Summary) []string {
	var doubts []string
	for _, s := range summaries {
		cell := Cell{s.Shape, s.Size, s.Depth, s.Kind}
		if s.LoadShare > busyLoad {
			doubts = append(doubts, fmt.Sprintf("%v, %s: the load used %.0f %% of its CPU and may be what limits the rate", cell, s.Server, s.LoadShare*100))
		}
		isFloor := slices.ContainsFunc(servers, func(other Server) bool { return other.Floor == s.Server })
		if isFloor && (s.Spread > noisySpread || s.WaitShare > noisyWait) {
			doubts = append(doubts, fmt.Sprintf("%v: noisy: CPU a message of %s varies by %.0f %% between its quartiles, and it lacked its CPU %.0f %% of the time",
				cell, s.Server, s.Spread*100, s.WaitShare*100))
		}
	}
	return doubts
}

// CPURatio is one server's CPU a message as a ratio to another's, round by round. It is
// nil if they were not measured side by side.
func CPURatio(r Results, own, other string) *stats.Estimate {
	return ratio(pick(r.Windows, own), pick(r.Windows, other), cpuMicros)
}
