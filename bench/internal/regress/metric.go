package regress

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
)

// A Metric is a figure that does not depend on how fast the machine is: a ratio of two
// things that were measured side by side, or a count a message.
type Metric struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Exact is a count that holds exactly, on any machine.
	Exact bool `json:"exact"`
	// More says that more is better; else less is.
	More bool `json:"more"`
}

// An Expectation is what a metric is compared to.
type Expectation struct {
	Metric
	// Tolerance is how far off a metric may be, as a share of the expected value.
	Tolerance float64 `json:"tolerance"`
	// Worst is the worst value of the runs that the baseline was made of.
	Worst float64 `json:"worst"`
}

// A Baseline is what is expected, and where that comes from.
type Baseline struct {
	Machine      record.Machine `json:"machine"`
	Runs         int            `json:"runs"`
	Expectations []Expectation  `json:"expectations"`
}

// minTolerance is what even the steadiest ratio is granted, and margin by how much more
// than the worst run's distance: a worse one than the worst of twenty comes once in some
// twenty runs, for each of the ratios. With half as much again the very next run after
// the first calibration failed one; a comparison also has twice a calibration's rounds.
const (
	minTolerance = 0.03
	margin       = 2.5
)

// newBaseline makes a baseline of several runs: the expectation is the median, the
// tolerance the worst run's distance from it times margin.
func newBaseline(m record.Machine, runs [][]Metric) Baseline {
	b := Baseline{Machine: m, Runs: len(runs)}
	if len(runs) == 0 {
		return b
	}
	for _, metric := range runs[0] {
		values := valuesOf(runs, metric.Name)
		e := Expectation{Metric: metric}
		e.Value, e.Worst = stats.Median(values), slices.Max(values)
		if metric.More {
			e.Worst = slices.Min(values)
		}
		if !metric.Exact {
			e.Tolerance = max(minTolerance, margin*math.Abs(e.Worst-e.Value)/e.Value)
		}
		b.Expectations = append(b.Expectations, e)
	}
	return b
}

// valuesOf lists a metric's value in each run that has it.
func valuesOf(runs [][]Metric, name string) []float64 {
	var values []float64
	for _, run := range runs {
		for _, m := range run {
			if m.Name == name {
				values = append(values, m.Value)
			}
		}
	}
	return values
}

// limit is the worst value that passes.
func (e Expectation) limit() float64 {
	if e.More {
		return e.Value * (1 - e.Tolerance)
	}
	return e.Value * (1 + e.Tolerance)
}

// readBaseline reads a kept baseline.
func readBaseline(name string) (Baseline, error) {
	var b Baseline
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return b, fmt.Errorf("%w: make one with --calibrate 20", err)
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// write keeps a baseline.
func (b Baseline) write(name string) error {
	text, err := json.MarshalIndent(b, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
