package parallel

import (
	"math"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// A Row is a window of one server.
type Row struct {
	Work   int    `json:"work_us"` // of a request
	Family Family `json:"family"`
	Loops  int    `json:"loops"`
	trial.Window
}

// A Point is what a server comes to at one cost of a request. Ratios are to nsreactor
// with the fewest loops.
type Point struct {
	Work    int    `json:"work_us"`
	Family  Family `json:"family"`
	Loops   int    `json:"loops"`
	Sampled uint64 `json:"sampled"`
	// OnReceiving is how many of the sampled messages were handled on the CPU that had
	// received them.
	OnReceiving uint64 `json:"on_receiving_cpu"`
	trial.Summary
}

// share is the part of messages handled where they were received, NaN if not known.
func (p Point) share() float64 {
	if p.Sampled == 0 {
		return math.NaN()
	}
	return float64(p.OnReceiving) / float64(p.Sampled)
}

// Summary is what a run comes to.
type Summary struct {
	Points []Point `json:"points"`
}

func rows(field []entry, micros int, r trial.Results) []Row {
	var all []Row
	for _, w := range r.Windows {
		i := slices.IndexFunc(field, func(e entry) bool { return e.Name == w.Server })
		all = append(all, Row{micros, field[i].family, field[i].loops, w})
	}
	return all
}

func points(field []entry, micros int, r trial.Results) []Point {
	var all []Point
	for _, s := range trial.Summarize(servers(field), r) {
		i := slices.IndexFunc(field, func(e entry) bool { return e.Name == s.Server })
		p := Point{Work: micros, Family: field[i].family, Loops: field[i].loops, Summary: s}
		for _, life := range r.Lives {
			if life.Server == s.Server {
				p.Sampled, p.OnReceiving = life.Counters.Sampled, life.Counters.OnReceiving
			}
		}
		all = append(all, p)
	}
	return all
}

// works lists the costs of a request, in order.
func (s Summary) works() []int {
	var all []int
	for _, p := range s.Points {
		if !slices.Contains(all, p.Work) {
			all = append(all, p.Work)
		}
	}
	return all
}

// of lists a family's points at one cost, by loops.
func (s Summary) of(micros int, f Family) []Point {
	var all []Point
	for _, p := range s.Points {
		if p.Work == micros && p.Family == f {
			all = append(all, p)
		}
	}
	return all
}

// mostLoops is how many loops there were at most.
func (s Summary) mostLoops() int {
	most := 1
	for _, p := range s.Points {
		most = max(most, p.Loops)
	}
	return most
}
