package qos

import (
	"sync/atomic"
	"time"
)

// service is what a volume was given lately; counters only, without a lock.
type service struct {
	ios      atomic.Uint64
	released atomic.Uint64
	done     atomic.Uint64
	units    atomic.Uint64 // of IOSize, done
	busy     atomic.Int64  // nanoseconds that I/Os took, each its own
}

func (s *service) ended(n int, took time.Duration) {
	s.units.Add(uint64(n))
	s.busy.Add(int64(took))
	s.done.Add(1)
}

// reading is what the counters were at a moment.
type reading struct {
	released, done, units uint64
	busy                  time.Duration
}

func (s *service) read() reading {
	r := reading{done: s.done.Load()} // first, so that there are never more done than released
	r.released, r.units, r.busy = s.released.Load(), s.units.Load(), time.Duration(s.busy.Load())
	return r
}
