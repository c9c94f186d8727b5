package switching

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// A Row is what was found of one thing at one point. Times are nanoseconds.
type Row struct {
	Namespaces int     `json:"namespaces"`
	What       What    `json:"what"`
	Order      Order   `json:"order"`
	Threads    int     `json:"threads"`
	Mean       float64 `json:"mean_ns"` // of calls timed together: without the clock
	P50        float64 `json:"p50_ns"`  // of samples: with it
	P99        float64 `json:"p99_ns"`
	Max        float64 `json:"max_ns"`
	Samples    int64   `json:"samples"`
	Batch      int     `json:"calls_a_sample"`
	Calls      int     `json:"calls"`    // all of them
	Switches   uint64  `json:"switches"` // that nsctx counted in them, by its own hand
	Avoided    uint64  `json:"avoided"`
}

// A Point is what ratios there are at one point, of means within a visit or a round.
type Point struct {
	Namespaces int            `json:"namespaces"`
	Order      Order          `json:"order"`
	Threads    int            `json:"threads"`
	MissRatio  stats.Estimate `json:"miss_to_setns"` // Enter on a miss, to bare setns
	HitRatio   stats.Estimate `json:"hit_to_call"`   // Enter on a hit, to an empty function call
	SetnsFlat  stats.Estimate `json:"setns_to_one"`  // bare setns, to itself with one namespace
	MissFlat   stats.Estimate `json:"miss_to_one"`   // Enter on a miss, likewise
	Spread     float64        `json:"setns_spread"`  // of bare setns by visit: quartiles' distance to median
}

// Summary is what a run comes to.
type Summary struct {
	Points []Point `json:"points"`
	// ClockMean is what the harness adds to a call that it times alone, in nanoseconds.
	ClockMean float64 `json:"clock_ns"`
}

// place is where something was measured.
type place struct {
	namespaces, threads int
	order               Order
}

func (v visit) place() place { return place{v.namespaces, v.threads, v.order} }

type subject struct {
	place
	what What
}

// findings collects visits.
type findings struct {
	tallies map[subject]*tally
	means   map[subject][]float64 // by round
}

func newFindings() *findings {
	return &findings{map[subject]*tally{}, map[subject][]float64{}}
}

// add takes what a visit's threads have found.
func (f *findings) add(v visit, workers []*worker) {
	for _, what := range whats {
		s := subject{v.place(), what}
		sum := newTally()
		for _, w := range workers {
			sum.merge(w.tally[what])
		}
		if f.tallies[s] == nil {
			f.tallies[s] = newTally()
		}
		f.tallies[s].merge(sum)
		for len(f.means[s]) <= v.round {
			f.means[s] = append(f.means[s], math.NaN())
		}
		f.means[s][v.round] = sum.mean()
	}
}

// places lists where was measured, by threads, order and namespaces.
func (f *findings) places() []place {
	seen := map[place]bool{}
	for s := range f.tallies {
		seen[s.place] = true
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.threads, b.threads), slices.Index(orders, a.order)-slices.Index(orders, b.order),
			cmp.Compare(a.namespaces, b.namespaces))
	})
}

func (f *findings) rows() []Row {
	var rows []Row
	for _, p := range f.places() {
		for _, what := range whats {
			t := f.tallies[subject{p, what}]
			rows = append(rows, Row{
				Namespaces: p.namespaces, What: what, Order: p.order, Threads: p.threads,
				Mean: t.mean(), P50: t.nanosAt(50), P99: t.nanosAt(99), Max: t.nanosAt(100),
				Samples: t.histogram.TotalCount(), Batch: batchOf(what), Calls: t.all, Switches: t.switches, Avoided: t.avoided,
			})
		}
	}
	return rows
}

func (f *findings) summary() Summary {
	var s Summary
	clock := newTally()
	for _, p := range f.places() {
		one := place{1, p.threads, p.order}
		s.Points = append(s.Points, Point{
			Namespaces: p.namespaces, Order: p.order, Threads: p.threads,
			MissRatio: f.ratio(subject{p, Miss}, subject{p, Setns}), HitRatio: f.ratio(subject{p, Hit}, subject{p, Call}),
			SetnsFlat: f.ratio(subject{p, Setns}, subject{one, Setns}), MissFlat: f.ratio(subject{p, Miss}, subject{one, Miss}),
			Spread: stats.Spread(f.means[subject{p, Setns}]),
		})
		clock.merge(f.tallies[subject{p, Clock}])
	}
	s.ClockMean = clock.mean()
	return s
}

// ratio divides round by round.
func (f *findings) ratio(a, b subject) stats.Estimate {
	return stats.Bootstrap(stats.Ratios(f.means[a], f.means[b]))
}
