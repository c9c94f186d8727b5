package switching

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Samples are kept in picoseconds, since some calls take a few nanoseconds only.
const (
	longest = int64(10 * time.Second * 1000)
	digits  = 3
)

// A tally is what was found of one thing.
type tally struct {
	histogram *hdrhistogram.Histogram
	nanos     float64 // of calls that were timed together
	calls     int     // so many
	all       int     // calls, with those that were timed one by one
	switches  uint64  // that nsctx counted meanwhile
	avoided   uint64
}

func newTally() *tally { return &tally{histogram: hdrhistogram.New(1, longest, digits)} }

func newTallies() map[What]*tally {
	all := map[What]*tally{}
	for _, what := range whats {
		all[what] = newTally()
	}
	return all
}

// singles adds the samples between stamps, of so many calls each.
func (t *tally) singles(stamps []time.Duration, calls int) {
	for i := range len(stamps) - 1 {
		picos := int64(stamps[i+1]-stamps[i]) * 1000 / int64(calls)
		_ = t.histogram.RecordValue(min(picos, longest)) // fails for what is out of range only
	}
	if calls == 1 {
		t.all += len(stamps) - 1
	}
}

// together adds calls that were timed as one.
func (t *tally) together(took time.Duration, calls int) {
	t.nanos += float64(took)
	t.calls += calls
	t.all += calls
}

// moved adds what nsctx has counted.
func (t *tally) moved(before, after nsctx.ThreadStats) {
	t.switches += after.Switches - before.Switches
	t.avoided += after.Avoided - before.Avoided
}

// mean is nanoseconds a call.
func (t *tally) mean() float64 { return t.nanos / float64(t.calls) }

func (t *tally) merge(other *tally) {
	t.histogram.Merge(other.histogram)
	t.nanos += other.nanos
	t.calls += other.calls
	t.all += other.all
	t.switches += other.switches
	t.avoided += other.avoided
}

// nanosAt is a percentile in nanoseconds.
func (t *tally) nanosAt(percentile float64) float64 {
	return float64(t.histogram.ValueAtQuantile(percentile)) / 1000
}
