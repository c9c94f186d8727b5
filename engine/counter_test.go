package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCounter(t *testing.T) {
	var c counter
	c.add(5)
	c.inc()
	c.dec()
	c.dec()
	if got := c.load(); got != 4 {
		t.Fatalf("counted %d, want 4", got)
	}
}

func newHistogram(base uint64, per float64) *histogram { return &histogram{base: base, per: per} }

// An observation belongs to the first bucket whose bound it does not exceed.
func TestHistogramBuckets(t *testing.T) {
	for _, base := range []uint64{1, 3, 1000} {
		values := []uint64{0, 1, base, base + 1, 1 << 63}
		for i := range histogramBuckets {
			values = append(values, base<<i-1, base<<i, base<<i+1)
		}
		for _, v := range values {
			h := newHistogram(base, 1)
			h.observe(v)
			s := h.snapshot()
			want := slices.IndexFunc(s.Bounds, func(bound float64) bool { return float64(v) <= bound })
			if want < 0 {
				want = len(s.Bounds)
			}
			if got := slices.Index(s.Counts, 1); got != want || s.Count() != 1 {
				t.Errorf("base %d: %d is in bucket %d of %v, want %d", base, v, got, s.Counts, want)
			}
		}
	}
}

func TestHistogramSnapshot(t *testing.T) {
	h := newHistogram(1000, 1e9) // as the turns: nanoseconds, shown in seconds
	for _, v := range []uint64{500, 1000, 1001, 3_000_000_000} {
		h.observe(v)
	}
	s := h.snapshot()
	if len(s.Bounds) != histogramBuckets || len(s.Counts) != histogramBuckets+1 {
		t.Fatalf("%d bounds, %d counts", len(s.Bounds), len(s.Counts))
	}
	if s.Bounds[0] != 1e-6 || s.Bounds[1] != 2e-6 || !slices.IsSorted(s.Bounds) {
		t.Errorf("bounds %v", s.Bounds)
	}
	if s.Counts[0] != 2 || s.Counts[1] != 1 || s.Counts[histogramBuckets] != 1 || s.Count() != 4 {
		t.Errorf("counts %v", s.Counts)
	}
	if want := float64(500+1000+1001+3_000_000_000) / 1e9; s.Sum != want {
		t.Errorf("sum %v, want %v", s.Sum, want)
	}
}

// Readers see counts that never go back, whatever the writer is doing.
func TestHistogramIsMonotonic(t *testing.T) {
	h := newHistogram(1, 1)
	const observations = 100_000
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := rand.New(rand.NewPCG(1, 1))
		for range observations {
			h.observe(r.Uint64N(1 << 22))
		}
	}()
	last := h.snapshot()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s := h.snapshot()
		for i := range s.Counts {
			if s.Counts[i] < last.Counts[i] {
				t.Fatalf("bucket %d goes from %d to %d", i, last.Counts[i], s.Counts[i])
			}
		}
		if s.Sum < last.Sum {
			t.Fatalf("the sum goes from %v to %v", last.Sum, s.Sum)
		}
		last = s
	}
	if last.Count() != observations {
		t.Fatalf("%d observations, want %d", last.Count(), observations)
	}
}
