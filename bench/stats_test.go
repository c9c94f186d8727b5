package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	values := []float64{9, 1, 5}
	if got := median(values); got != 5 {
		t.Errorf("odd: got %v", got)
	}
	if values[0] != 9 {
		t.Error("median sorted its argument")
	}
	if got := median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("even: got %v", got)
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("none: got %v", got)
	}
}

func TestSpread(t *testing.T) {
	if got := spread([]float64{9, 10, 12}); math.Abs(got-0.3) > 1e-9 {
		t.Errorf("got %v", got)
	}
}

func TestRatioComparesWithinARound(t *testing.T) {
	// Round 1 was twice as slow for both, and round 2 lacks a floor.
	got, ok := ratioOf(map[int]float64{0: 11, 1: 20, 2: 99}, map[int]float64{0: 10, 1: 20, 3: 1})
	if want := (ratio{1.05, 1, 1.1}); !ok || math.Abs(got.Median-want.Median) > 1e-9 || got.Min != want.Min || got.Max != want.Max {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if _, ok := ratioOf(map[int]float64{0: 1}, nil); ok {
		t.Error("a ratio without a floor")
	}
}

func TestSummarizeSeparatesCellsAndServers(t *testing.T) {
	c := cell{shape{2, 3}, 64, 1}
	trial := func(server string, c cell, round int, cpu float64) result {
		return result{
			Server: server, Shape: c.shape.String(), Size: c.size, Depth: c.depth, Round: round, CPUMicros: cpu,
			Load: loadReport{Rate: 1000},
		}
	}
	results := []result{
		trial("floor", c, 0, 10), trial("mine", c, 0, 12), trial("floor", c, 1, 20), trial("mine", c, 1, 22),
		trial("mine", cell{shape{2, 3}, 128, 1}, 0, 1000),
	}
	got := summarize([]server{{name: "floor", floor: "floor"}, {name: "mine", floor: "floor"}, {name: "absent"}}, c, results)
	if len(got) != 2 || got[1].CPUMicros != 17 || got[1].Rounds != 2 || math.Abs(got[1].CPURatio.Median-1.15) > 1e-9 {
		t.Errorf("got %+v", got)
	}
	if noisy := noise([]server{{floor: "floor"}}, got); len(noisy) != 1 || noisy[0].Server != "floor" {
		t.Errorf("noisy: got %+v", noisy)
	}
}
