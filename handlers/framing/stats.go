package framing

import (
	"errors"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/handlers/tally"
)

// Kind is a word for what is wrong, from a fixed set: "frame_too_long",
// "frame_length", "frame_truncated", or "frame".
func (e *Error) Kind() string {
	for _, f := range faults {
		if errors.Is(e.Err, f.err) {
			return f.kind
		}
	}
	return "frame"
}

// faults are what is counted apart, in the order of Stats.
var faults = [...]struct {
	err  error
	kind string
}{
	{ErrTooLong, "frame_too_long"},
	{ErrBadLength, "frame_length"},
	{ErrTruncated, "frame_truncated"},
}

// Stats is how many connections have ended for what was wrong with their
// messages.
type Stats struct {
	TooLong   uint64 // ErrTooLong
	BadLength uint64 // ErrBadLength
	Truncated uint64 // ErrTruncated
	Other     uint64 // another [*Error]
}

// counts has one for each of the faults, and one for the others.
type counts [len(faults) + 1]atomic.Uint64

// count looks at what a connection has ended for.
func (n *counts) count(err error) {
	wrong, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	for i, f := range faults {
		if errors.Is(wrong.Err, f.err) {
			n[i].Add(1)
			return
		}
	}
	n[len(faults)].Add(1)
}

// Stats may be called by any goroutine.
func (f *Framer[T]) Stats() Stats {
	n := &f.counts
	return Stats{TooLong: n[0].Load(), BadLength: n[1].Load(), Truncated: n[2].Load(), Other: n[3].Load()}
}

// Counters are the Stats, for metrics.
func (f *Framer[T]) Counters() []tally.Sample {
	s := f.Stats()
	count := func(fault string, n uint64) tally.Sample {
		return tally.Count("bad_frames_total", "Connections ended for what was wrong with their messages.", n).By("fault", fault)
	}
	return []tally.Sample{
		count("too_long", s.TooLong), count("length", s.BadLength), count("truncated", s.Truncated), count("other", s.Other),
	}
}
