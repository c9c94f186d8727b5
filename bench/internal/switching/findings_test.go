package switching

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// worked is what a thread has found if each call took so many nanoseconds.
func worked(setns, miss, hit int) *worker {
	w := &worker{tally: newTallies()}
	for _, what := range whats {
		nanos := map[What]int{Setns: setns, Miss: miss, Hit: hit}[what]
		w.tally[what].singles([]time.Duration{0, time.Duration(nanos * batchOf(what))}, batchOf(what))
		w.tally[what].together(time.Duration(10*nanos), 10)
	}
	return w
}

func TestFindingsDivideWithinARound(t *testing.T) {
	f := newFindings()
	at := func(n, round int) visit { return visit{namespaces: n, threads: 2, order: Random, round: round} }
	// The second round is twice as slow, and comes in another order.
	f.add(at(1, 0), []*worker{worked(1000, 1100, 1), worked(1000, 1100, 1)})
	f.add(at(4, 0), []*worker{worked(1500, 1500, 1), worked(1500, 1500, 3)})
	f.add(at(4, 1), []*worker{worked(3000, 3000, 2), worked(3000, 3000, 2)})
	f.add(at(1, 1), []*worker{worked(2000, 2200, 1), worked(2000, 2200, 1)})
	points := f.summary().Points
	if len(points) != 2 || points[0].Namespaces != 1 || points[1].Namespaces != 4 {
		t.Fatalf("got %+v", points)
	}
	near(t, "miss to setns at 1", points[0].MissRatio.Median, 1.1)
	near(t, "setns to itself at 1", points[0].SetnsFlat.Median, 1)
	near(t, "setns at 4", points[1].SetnsFlat.Median, 1.5)
	near(t, "miss at 4", points[1].MissFlat.Median, 1500.0/1100)
	if points[1].SetnsFlat.N != 2 {
		t.Errorf("got %+v, want two rounds", points[1].SetnsFlat)
	}
	for _, row := range f.rows() {
		if row.Namespaces == 4 && row.What == Hit {
			near(t, "hit, mean", row.Mean, 2)
			near(t, "hit, max", row.Max, 3)
			if row.Samples != 4 || row.Batch != batch {
				t.Errorf("got %+v", row)
			}
		}
		if row.Namespaces == 1 && row.What == Miss {
			near(t, "miss, p50", row.P50, 1100)
		}
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/500 { // the histogram keeps three digits
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// figures is a record with one thread at 1 and 512 namespaces.
func figures(setns, miss, hit int) *record.Record[Row, Summary] {
	f := newFindings()
	f.add(visit{namespaces: 1, threads: 1, order: Sequential}, []*worker{worked(1000, 1000, 1)})
	f.add(visit{namespaces: 512, threads: 1, order: Sequential}, []*worker{worked(setns, miss, hit)})
	return &record.Record[Row, Summary]{Rows: f.rows(), Summary: f.summary()}
}

func TestVerdictsGoBothWays(t *testing.T) {
	for _, v := range verdicts(figures(1100, 1100, 1)) {
		if !v.Reached {
			t.Errorf("good figures: %s", v.Got)
		}
	}
	bad := verdicts(figures(5000, 6000, 50))
	if len(bad) != 4 {
		t.Fatalf("got %+v", bad)
	}
	for i, want := range []string{"6.00 [", "1.20 [", "50.00 ns", "6.00 µs"} {
		if bad[i].Reached || !strings.Contains(bad[i].Got, want) {
			t.Errorf("bad figures: got %+v, want one with %q", bad[i], want)
		}
	}
}

func TestDoubtsCountNoisyPoints(t *testing.T) {
	got := doubts(Summary{Points: []Point{{Namespaces: 4, Spread: 0.5, Order: Random, Threads: 1}, {Spread: 0.01}}})
	if len(got) != 1 || !strings.Contains(got[0], "1 of 2") || !strings.Contains(got[0], "4 namespaces, random, 1 thread") {
		t.Errorf("got %q", got)
	}
	if got := doubts(Summary{Points: []Point{{Spread: 0.01}}}); got != nil {
		t.Errorf("quiet: got %q", got)
	}
}

func TestThePapersLinesEndWithThePicture(t *testing.T) {
	for _, s := range paperSeries(closeUp) {
		if !s.Foreign || len(s.X) != 2 || s.X[1] != closeUp {
			t.Errorf("close-up: got %+v", s)
		}
	}
	if before := paperSeries(4096)[0]; len(before.X) != 3 || before.Y[2] != 500_000 {
		t.Errorf("got %+v", before)
	}
}
