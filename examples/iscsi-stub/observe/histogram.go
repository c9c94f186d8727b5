package observe

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a histogram end at 16 µs, and each at the double of the one before, up to
// 4 s, before the last one that has no end.
const (
	firstBucket = 4 // the power of two, in microseconds
	buckets     = 19
)

// histogram counts durations. It is for many writers, and for readers that don't mind that
// a duration is in one of its numbers already and not yet in another.
type histogram struct {
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf is the first bucket whose end is not below d.
func bucketOf(d time.Duration) int {
	micros := uint64(max(d, 1)-1) / uint64(time.Microsecond)
	return min(bits.Len64(micros>>firstBucket), buckets)
}

// read is what Prometheus wants: how many in all, their sum in seconds, and how many up to
// the end of each bucket.
func (h *histogram) read() (count uint64, sum float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, buckets)
	for i := range buckets {
		count += h.counts[i].Load()
		end := time.Microsecond << (firstBucket + i)
		upTo[end.Seconds()] = count
	}
	count += h.counts[buckets].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), upTo
}
