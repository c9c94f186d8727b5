package switching

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// TestShortRunIsComplete makes a short run in real namespaces, and looks at what does
// not depend on the machine: which points there are, how often each thing was called,
// and that Enter has switched when it had to and only then.
func TestShortRunIsComplete(t *testing.T) {
	dir := t.TempDir()
	c := Command{Max: 8, Rounds: 2, Calls: 32, Out: dir, Short: true}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(dir, "switch")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Row, Summary](name)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[subject]Row{}
	for _, row := range r.Rows {
		seen[subject{place{row.Namespaces, row.Threads, row.Order}, row.What}] = row
	}
	for _, threads := range powersOfTwo(runtime.NumCPU()) {
		for _, n := range []int{1, 2, 4, 8} {
			for _, order := range orders {
				for _, what := range whats {
					row, found := seen[subject{place{n, threads, order}, what}]
					if !found {
						t.Fatalf("no row of %s, %d namespaces, %s, %d threads", what, n, order, threads)
					}
					checkRow(t, row, c)
				}
			}
		}
	}
	if points := 4 * len(orders) * len(powersOfTwo(runtime.NumCPU())); len(r.Rows) != points*len(whats) || len(r.Summary.Points) != points {
		t.Errorf("got %d rows and %d points, want %d points", len(r.Rows), len(r.Summary.Points), points)
	}
	checkFiles(t, dir, r.Pictures)
	var page strings.Builder
	if err := Section(&page, dir); err != nil || !strings.Contains(page.String(), "miss to setns") {
		t.Errorf("the page: %v: %s", err, page.String())
	}
}

// checkRow holds a row against the number of calls that there must have been.
func checkRow(t *testing.T, row Row, c Command) {
	t.Helper()
	visits := c.Rounds * row.Threads * cycles
	calls, samples := visits*2*c.Calls, visits*c.Calls
	if row.Batch > 1 {
		calls, samples = visits*batches*batch, visits*batches
	}
	var switches, avoided int
	switch row.What {
	case Miss:
		switches = calls
	case Hit:
		avoided = calls
	}
	if row.Calls != calls || row.Samples != int64(samples) || row.Switches != uint64(switches) || row.Avoided != uint64(avoided) {
		t.Errorf("got %+v; want %d calls, %d samples, %d switches, %d avoided", row, calls, samples, switches, avoided)
	}
	if !(row.Mean > 0 && row.P50 <= row.P99 && row.P99 <= row.Max && row.Max > 0) {
		t.Errorf("times make no sense: %+v", row)
	}
}

func checkFiles(t *testing.T, dir string, pictures []string) {
	t.Helper()
	if len(pictures) != 3 {
		t.Errorf("got pictures %q", pictures)
	}
	for _, name := range pictures {
		for _, ending := range []string{".svg", ".png"} {
			if info, err := os.Stat(filepath.Join(dir, name+ending)); err != nil || info.Size() == 0 {
				t.Errorf("%s%s: %v", name, ending, err)
			}
		}
	}
}

// TestInterruptedRunSavesNothing: half a run must not look like a result.
func TestInterruptedRunSavesNothing(t *testing.T) {
	spaces, err := makeSpaces(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer spaces.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found := newFindings()
	c := Command{Calls: 1}
	if err := c.measure(ctx, spaces, plan([]int{1}, []int{1}, 1), found); !errors.Is(err, context.Canceled) || len(found.tallies) != 0 {
		t.Errorf("got %v, %d tallies", err, len(found.tallies))
	}
	dir := t.TempDir()
	c = Command{Max: 1, Rounds: 1, Calls: 1, Out: dir}
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := record.Newest(dir, "switch"); !errors.Is(err, record.ErrNone) {
		t.Errorf("got %v, want that there is no record", err)
	}
}

// TestWorkerThatFailsFreesTheOthers closes a namespace under the threads: those that
// wait for one another must not wait for good.
func TestWorkerThatFailsFreesTheOthers(t *testing.T) {
	spaces, err := makeSpaces(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer spaces.Close()
	if err := spaces.all[1].Close(); err != nil {
		t.Fatal(err)
	}
	v := visit{namespaces: 2, threads: min(2, runtime.NumCPU()), order: Sequential}
	if _, err := v.run(spaces, 4); err == nil {
		t.Error("no error")
	}
}

func TestBarrierLetsGoWhenOneGivesUp(t *testing.T) {
	b := &barrier{threads: 2}
	passed := make(chan bool)
	go func() { passed <- b.wait() }()
	b.giveUp()
	if <-passed {
		t.Error("passed as if both were there")
	}
}

func TestBarrierBringsThreadsTogether(t *testing.T) {
	const turns = 1000
	b := &barrier{threads: 2}
	var counts [2][turns]int
	done := make(chan bool)
	go func() {
		for i := range turns {
			counts[0][i] = i + 1
			b.wait()
		}
		done <- true
	}()
	for i := range turns {
		b.wait()
		if counts[0][i] != i+1 {
			t.Fatalf("turn %d: the other has not been there", i)
		}
	}
	<-done
}

func TestWalkNeverStaysWhereItIs(t *testing.T) {
	for _, order := range orders {
		for _, n := range []int{2, 3, 64} {
			w := newWalk(order, n, 1)
			at, seen := w.at, map[int]bool{}
			steps := make([]int, 1000)
			w.fill(steps)
			for i, to := range steps {
				if to == at || to < 0 || to >= n || (order == Sequential && to != (at+1)%n) {
					t.Fatalf("%s, %d: step %d goes from %d to %d", order, n, i, at, to)
				}
				at, seen[to] = to, true
			}
			if len(seen) != n {
				t.Errorf("%s: %d of %d visited", order, len(seen), n)
			}
		}
		w := newWalk(order, 1, 1)
		if steps := []int{7, 7}; len(steps) == 2 {
			if w.fill(steps); !slices.Equal(steps, []int{0, 0}) {
				t.Errorf("%s, one namespace: got %v", order, steps)
			}
		}
	}
}

func TestPlanVisitsEachPointOnceARound(t *testing.T) {
	visits := plan([]int{1, 2, 4}, []int{1, 2}, 3)
	seen := map[visit]int{}
	for _, v := range visits {
		seen[v]++
	}
	if len(visits) != 3*2*2*3 || len(seen) != len(visits) {
		t.Errorf("got %d visits, %d of them different", len(visits), len(seen))
	}
	if visits[0].place() == visits[12].place() {
		t.Errorf("two rounds begin with %+v", visits[0])
	}
}

func TestPowersOfTwoEndWithTheMost(t *testing.T) {
	for most, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 8: {1, 2, 4, 8}} {
		if got := powersOfTwo(most); !slices.Equal(got, want) {
			t.Errorf("%d: got %v, want %v", most, got, want)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	good := Command{Max: 1, Rounds: 1, Calls: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Command{
		{Max: 0, Rounds: 1, Calls: 1},
		{Max: 1, Rounds: 0, Calls: 1},
		{Max: 1, Rounds: 1},
		{Max: 1, Rounds: 1, Calls: 1, Nice: 20},
		{Max: 1, Rounds: 1, Calls: 1, Threads: []int{0}},
		{Max: 1, Rounds: 1, Calls: 1, Threads: []int{runtime.NumCPU() + 1}},
	} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
	if err := (&Command{Max: 1 << 30}).prepare(); err == nil || !strings.Contains(err.Error(), "descriptors") {
		t.Errorf("more namespaces than descriptors: got %v", err)
	}
}
