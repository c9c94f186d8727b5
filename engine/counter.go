package engine

import "sync/atomic"

// counter has one writer, its loop, and any number of readers. With a single
// writer an addition needs no locked read-modify-write, just a store that
// readers may see.
type counter struct{ v atomic.Uint64 }

func (c *counter) add(n uint64) { c.v.Store(c.v.Load() + n) }
func (c *counter) inc()         { c.add(1) }
func (c *counter) dec()         { c.v.Store(c.v.Load() - 1) }
func (c *counter) load() uint64 { return c.v.Load() }

// histogram counts observations in buckets whose bounds are base, 2·base,
// 4·base … It has one writer, as a counter has.
type histogram struct {
	base    uint64
	per     float64 // how many of the observed numbers make one of the snapshot's unit
	sum     counter
	buckets [histogramBuckets + 1]counter
}

// histogramBuckets reaches from 1 µs to half a second, or to 2^19 events.
const histogramBuckets = 20

func (h *histogram) observe(v uint64) {
	h.sum.add(v)
	i := 0
	for bound := h.base; v > bound && i < histogramBuckets; bound <<= 1 {
		i++
	}
	h.buckets[i].inc()
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{
		Bounds: make([]float64, histogramBuckets),
		Counts: make([]uint64, histogramBuckets+1),
		Sum:    float64(h.sum.load()) / h.per,
	}
	for i := range s.Bounds {
		s.Bounds[i] = float64(h.base<<i) / h.per
	}
	for i := range s.Counts {
		s.Counts[i] = h.buckets[i].load()
	}
	return s
}
