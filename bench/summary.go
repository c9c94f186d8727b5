package main

// From these on, a floor says that the machine was not quiet, and that its cell's
// figures deserve distrust.
const (
	noisySpread = 0.10 // of CPU per message over the rounds
	noisyWait   = 0.02 // of the time, runnable but without the CPU: something else had it
)

// A summary is what a server's rounds in one cell come to: medians, and ratios to its
// floor by round.
type summary struct {
	Server    string  `json:"server"`
	Floor     string  `json:"floor"`
	Shape     string  `json:"shape"`
	Size      int     `json:"size"`
	Depth     int     `json:"depth"`
	Rounds    int     `json:"rounds"`
	CPUMicros float64 `json:"server_cpu_us_per_message"`
	CPURatio  *ratio  `json:"cpu_ratio,omitempty"`
	Rate      float64 `json:"rate"`
	RateRatio *ratio  `json:"rate_ratio,omitempty"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	RSSMB     float64 `json:"server_rss_mb"`
	Threads   float64 `json:"server_threads"`
	CPUShare  float64 `json:"server_cpu_share"`
	WaitShare float64 `json:"server_wait_share"`
	LoadShare float64 `json:"load_cpu_share"`
	Switches  float64 `json:"switches_per_event"`
	Batch     float64 `json:"events_per_wait"`
	Spread    float64 `json:"cpu_spread"`
}

// summarize sums up one cell's results in the order of servers.
func summarize(servers []server, c cell, results []result) []summary {
	var all []summary
	for _, s := range servers {
		own := pick(results, s.name, c)
		if len(own) == 0 {
			continue
		}
		out := summary{
			Server: s.name, Floor: s.floor, Shape: c.shape.String(), Size: c.size, Depth: c.depth, Rounds: len(own),
		}
		out.fill(own)
		out.compare(own, pick(results, s.floor, c))
		all = append(all, out)
	}
	return all
}

// pick returns the results of one server in one cell.
func pick(results []result, name string, c cell) []result {
	var own []result
	for _, r := range results {
		if r.Server == name && r.Shape == c.shape.String() && r.Size == c.size && r.Depth == c.depth {
			own = append(own, r)
		}
	}
	return own
}

// fill computes the medians.
func (s *summary) fill(own []result) {
	of := func(value func(result) float64) float64 { return median(column(own, value)) }
	s.CPUMicros = of(cpuMicros)
	s.Rate = of(rate)
	s.P50 = of(func(r result) float64 { return r.Load.P50 })
	s.P99 = of(func(r result) float64 { return r.Load.P99 })
	s.RSSMB = of(func(r result) float64 { return float64(r.RSSKB) / 1024 })
	s.Threads = of(func(r result) float64 { return float64(r.Threads) })
	s.CPUShare = of(func(r result) float64 { return r.CPUShare })
	s.WaitShare = of(func(r result) float64 { return r.WaitShare })
	s.LoadShare = of(func(r result) float64 { return r.Load.CPUShare })
	s.Switches = of(func(r result) float64 { return quotient(r.Counters.Switches, r.Counters.Events) })
	s.Batch = of(func(r result) float64 { return quotient(r.Counters.Events, r.Counters.Waits) })
	s.Spread = spread(column(own, cpuMicros))
}

// compare computes the ratios to the floor's results.
func (s *summary) compare(own, floor []result) {
	if r, ok := ratioOf(byRound(own, cpuMicros), byRound(floor, cpuMicros)); ok {
		s.CPURatio = &r
	}
	if r, ok := ratioOf(byRound(own, rate), byRound(floor, rate)); ok {
		s.RateRatio = &r
	}
}

func cpuMicros(r result) float64 { return r.CPUMicros }
func rate(r result) float64      { return r.Load.Rate }

// column takes one value from each result.
func column(results []result, value func(result) float64) []float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = value(r)
	}
	return values
}

// byRound takes one value from each result, by round.
func byRound(results []result, value func(result) float64) map[int]float64 {
	values := make(map[int]float64, len(results))
	for _, r := range results {
		values[r.Round] = value(r)
	}
	return values
}

// quotient is 0 where there is nothing to divide by.
func quotient(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// isFloor reports whether some server is compared to the named one.
func isFloor(servers []server, name string) bool {
	for _, s := range servers {
		if s.floor == name {
			return true
		}
	}
	return false
}

// noise lists the floors of a cell that were disturbed.
func noise(servers []server, summaries []summary) []summary {
	var noisy []summary
	for _, s := range summaries {
		if isFloor(servers, s.Server) && (s.Spread > noisySpread || s.WaitShare > noisyWait) {
			noisy = append(noisy, s)
		}
	}
	return noisy
}
