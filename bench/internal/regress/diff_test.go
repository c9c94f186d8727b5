package regress

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/record"
)

var base = Baseline{Runs: 20, Expectations: []Expectation{
	{Metric: Metric{Name: "cost", Value: 1}, Tolerance: 0.1},
	{Metric: Metric{Name: "rate", Value: 1, More: true}, Tolerance: 0.1},
	{Metric: Metric{Name: "calls", Value: 2, Exact: true}},
}}

func TestCompareFailsOnWhatGotWorse(t *testing.T) {
	for _, test := range []struct {
		name              string
		cost, rate, calls float64
		want              [3]Outcome
		failures          int
	}{
		{"as it was", 1, 1, 2, [3]Outcome{same, same, same}, 0},
		{"within tolerance", 1.09, 0.91, 2, [3]Outcome{same, same, same}, 0},
		{"worse", 1.11, 0.89, 3, [3]Outcome{regressed, regressed, regressed}, 3},
		{"better", 0.8, 1.2, 2, [3]Outcome{better, better, same}, 0},
		{"a count that is better changed too", 1, 1, 1, [3]Outcome{same, same, regressed}, 1},
	} {
		lines := compare(base, []Metric{{Name: "cost", Value: test.cost}, {Name: "rate", Value: test.rate, More: true}, {Name: "calls", Value: test.calls, Exact: true}}, false)
		if len(lines) != 3 {
			t.Fatalf("%s: got %+v", test.name, lines)
		}
		if got := [3]Outcome{lines[0].Outcome, lines[1].Outcome, lines[2].Outcome}; got != test.want || failures(lines) != test.failures {
			t.Errorf("%s: got %v, %d failures; want %v, %d", test.name, got, failures(lines), test.want, test.failures)
		}
	}
}

func TestCompareNoticesWhatIsMissingOrNew(t *testing.T) {
	lines := compare(base, []Metric{{Name: "calls", Value: 2, Exact: true}, {Name: "fresh", Value: 7}}, false)
	if failures(lines) != 2 || lines[1].Outcome != added {
		t.Errorf("got %+v, want cost and rate missing and fresh new", lines)
	}
	if lines := compare(base, []Metric{{Name: "calls", Value: 2, Exact: true}}, true); failures(lines) != 0 {
		t.Errorf("short: got %+v, want that ratios are not missed", lines)
	}
	if lines := compare(base, []Metric{{Name: "cost", Value: 1}}, true); failures(lines) != 1 {
		t.Errorf("short: got %+v, want that an exact figure is missed", lines)
	}
}

func TestBaselineGrantsWhatTheRunsNeeded(t *testing.T) {
	runs := [][]Metric{}
	for _, v := range []float64{1, 1.1, 0.9, 1, 1} {
		runs = append(runs, []Metric{{Name: "cost", Value: v}, {Name: "rate", Value: v, More: true}, {Name: "calls", Value: 2, Exact: true}})
	}
	b := newBaseline(record.Machine{CPUs: 2}, runs)
	for _, run := range runs {
		if lines := compare(b, run, false); failures(lines) != 0 {
			t.Errorf("a run that the baseline was made of fails: %+v", lines)
		}
	}
	if worse := compare(b, []Metric{{Name: "cost", Value: 1.26}, {Name: "rate", Value: 0.74, More: true}, {Name: "calls", Value: 2, Exact: true}}, false); failures(worse) != 2 {
		t.Errorf("26 %% worse where 25 %% are granted: %+v", worse)
	}
	name := filepath.Join(t.TempDir(), "baseline.json")
	if _, err := readBaseline(name); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--calibrate") {
		t.Errorf("no baseline: got %v", err)
	}
	if err := b.write(name); err != nil {
		t.Fatal(err)
	}
	if got, err := readBaseline(name); err != nil || !reflect.DeepEqual(got, b) {
		t.Errorf("got %+v, %v; want %+v", got, err, b)
	}
}
