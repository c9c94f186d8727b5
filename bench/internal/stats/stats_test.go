package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	values := []float64{9, 1, 5}
	if got := Median(values); got != 5 {
		t.Errorf("odd: got %v", got)
	}
	if values[0] != 9 {
		t.Error("Median sorted its argument")
	}
	if got := Median([]float64{4, 1, 2, 9}); got != 3 {
		t.Errorf("even: got %v", got)
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("none: got %v", got)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.2: 1, 0.21: 2, 0.5: 3, 0.99: 5, 1: 5} {
		if got := Quantile(values, q); got != want {
			t.Errorf("%v: got %v, want %v", q, got, want)
		}
	}
	if values[0] != 5 {
		t.Error("Quantile sorted its argument")
	}
}

func TestRatiosComparesWhatWasMeasuredSideBySide(t *testing.T) {
	// The second pair was twice as slow for both, and others lack a side.
	got := Ratios([]float64{11, 20, 99, math.NaN(), 3}, []float64{10, 20, math.NaN(), 1, 0})
	if want := []float64{1.1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBootstrapIntervalHoldsTheMedianAndShrinks(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	sample := func(n int) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = 1 + random.NormFloat64()/10
		}
		return values
	}
	few, many := Bootstrap(sample(10)), Bootstrap(sample(1000))
	for _, e := range []Estimate{few, many} {
		if !(e.Low <= e.Median && e.Median <= e.High) || e.Low == e.High {
			t.Errorf("not an interval around the median: %+v", e)
		}
	}
	if many.High-many.Low > (few.High-few.Low)/3 {
		t.Errorf("a hundred times the values make %+v of %+v", many, few)
	}
	if one := Bootstrap([]float64{2}); one != (Estimate{2, 2, 2, 1}) {
		t.Errorf("one value: got %+v", one)
	}
	values := sample(20)
	if Bootstrap(values) != Bootstrap(values) {
		t.Error("the same values give another interval")
	}
}

func TestBootstrapCoversTheTruthAsOftenAsItSays(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	const tries = 200
	covered := 0
	for range tries {
		values := make([]float64, 21)
		for i := range values {
			values[i] = random.NormFloat64()
		}
		if e := Bootstrap(values); e.Low <= 0 && 0 <= e.High {
			covered++
		}
	}
	if covered < tries*88/100 || covered == tries {
		t.Errorf("%d of %d intervals of 95 %% hold the true median", covered, tries)
	}
}

func TestByRoundPutsEachValueInItsPlace(t *testing.T) {
	type item struct {
		round int
		value float64
	}
	got := ByRound([]item{{2, 7}, {0, 5}}, func(i item) int { return i.round }, func(i item) float64 { return i.value })
	if len(got) != 3 || got[0] != 5 || !math.IsNaN(got[1]) || got[2] != 7 {
		t.Errorf("got %v, want 5, none, 7", got)
	}
}
