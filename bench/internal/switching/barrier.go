package switching

import "sync/atomic"

// A barrier lets threads begin a block together. They spin, since a thread that has to
// be woken would be late by more than a block takes.
type barrier struct {
	threads int32
	arrived atomic.Int32
	turn    atomic.Int32
	broken  atomic.Bool
}

// wait returns when all threads wait, or false when one has given up.
func (b *barrier) wait() bool {
	turn := b.turn.Load()
	if b.arrived.Add(1) == b.threads {
		b.arrived.Store(0)
		b.turn.Add(1)
		return !b.broken.Load()
	}
	for b.turn.Load() == turn {
		if b.broken.Load() {
			return false
		}
	}
	return true
}

// give up: no thread will wait for the caller's.
func (b *barrier) giveUp() { b.broken.Store(true) }
