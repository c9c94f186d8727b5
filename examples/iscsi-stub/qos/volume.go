package qos

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Volume shapes the I/O of one volume. Its methods may be called by any goroutine.
type Volume struct {
	governor *Governor

	// limited says that there is a cap. Without one, and with the governor at rest, an I/O
	// takes no lock.
	limited atomic.Bool
	service service
	claim   claim // the governor's

	mu        sync.Mutex
	at        time.Duration // when the newest I/O may go; the buckets are filled up to here
	iops      pair
	bandwidth pair
	line      line
	limits    Delays
	yields    Delays
}

// Counters are what a volume has been made to wait, and what it has saved.
type Counters struct {
	IOs     uint64        // that came, each counted once
	Limited Delays        // by its own maximum or burst
	Yielded Delays        // for other volumes' minima
	Credits Credits       // for a burst, at the moment
	Unmet   time.Duration // for which its minimum was wanted and not reached
}

// Delays are I/Os that waited, and for how long in all.
type Delays struct {
	IOs uint64
	For time.Duration
}

// Credits are how much more than the maximum may go, at burst rate.
type Credits struct {
	IOs   float64
	Bytes float64
}

// Set changes the settings, also while I/O is under way; what waits for the volume's own
// limits already goes when it was told to. What is owed stays owed, and credits are kept
// as far as they fit.
func (v *Volume) Set(s Settings, now time.Time) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.BurstFor == 0 {
		s.BurstFor = DefaultBurstFor
	}
	v.mu.Lock()
	v.fill(max(v.at, v.governor.since(now)))
	v.iops.set(s.IOPS, s.BurstFor)
	v.bandwidth.set(s.Bandwidth, s.BurstFor)
	v.limited.Store(s.limited())
	v.mu.Unlock()
	v.governor.guarantee(v, s.guaranteed())
	return nil
}

// Admit says how long an I/O is to wait: 0 lets it go, otherwise it is to be asked about
// again when that time has passed. I/Os go in the order in which they have come, and each
// is charged once, when it is first asked about. Reads and writes count alike.
func (v *Volume) Admit(io *IO, now time.Time) time.Duration {
	at := v.governor.since(now)
	v.governor.turn(at)
	level, governed := v.governor.Level()
	governed = governed && !v.claim.owing.Load()
	if io.stage == fresh {
		v.service.ios.Add(1)
		io.came, io.due = at, at
		if !governed && !v.limited.Load() {
			v.release(io, at)
			return 0
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if io.stage == fresh {
		io.due = v.pay(io, at)
		io.stage = paid
	}
	if io.due > at {
		return io.due - at
	}
	if wait := v.queue(io, level, governed, at); wait > 0 {
		return min(wait, period) // by then the level is another
	}
	v.limits.add(io.due - io.came)
	v.yields.add(at - io.due)
	v.release(io, at)
	return 0
}

// pay takes an I/O from the volume's own limits, and says when they let it go.
func (v *Volume) pay(io *IO, at time.Duration) time.Duration {
	when := max(at, v.at)
	when += max(v.iops.ready(), v.bandwidth.ready())
	v.fill(when)
	v.iops.take(float64(units(io.Bytes)))
	v.bandwidth.take(float64(io.Bytes))
	return when
}

// fill lets time pass in the volume's own buckets, up to when.
func (v *Volume) fill(when time.Duration) {
	v.iops.fill(when - v.at)
	v.bandwidth.fill(when - v.at)
	v.at = when
}

// queue has an I/O wait for the governor.
func (v *Volume) queue(io *IO, level float64, governed bool, at time.Duration) time.Duration {
	if !governed {
		v.line.dissolve()
		return 0
	}
	if io.stage == paid {
		io.place = v.line.join(float64(units(io.Bytes)))
		io.stage = lined
	}
	return v.line.wait(io.place, v.claim.guaranteed()+level, at)
}

// release lets an I/O go. One that was late to ask again, because its loop was, has not
// waited for others.
func (v *Volume) release(io *IO, at time.Duration) {
	io.stage, io.went = gone, at
	v.service.released.Add(1)
}

func (d *Delays) add(wait time.Duration) {
	if wait > 0 {
		d.IOs++
		d.For += wait
	}
}

// Done says that an I/O has ended, however and at whatever stage: it may be used anew. One
// that never was with Admit is nothing.
func (v *Volume) Done(io *IO, now time.Time) {
	if io.stage == gone {
		v.service.ended(units(io.Bytes), io.Waited+v.governor.since(now)-io.went)
	}
	*io = IO{}
}

// Counters returns what there is at a moment.
func (v *Volume) Counters(now time.Time) Counters {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fill(max(v.at, v.governor.since(now)))
	return Counters{
		IOs:     v.service.ios.Load(),
		Limited: v.limits,
		Yielded: v.yields,
		Unmet:   time.Duration(v.claim.unmet.Load()),
		Credits: Credits{IOs: v.iops.credits(), Bytes: v.bandwidth.credits()},
	}
}

// Close takes the volume out of the governor's account. I/O that comes after is limited
// still.
func (v *Volume) Close() { v.governor.forget(v) }
