package qos

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Governor sees to it that volumes get their minima. It has one level, in I/Os a
// second: while it is at work, a volume may do its own minimum and so much more. Who
// stays below that feels nothing; the greediest are slowed first, all others to the same
// excess.
//
// Ten times a second it looks for a volume that is owed something: that got less than its
// minimum although it asked for more. If there is one, the level goes down by a fifth;
// if not, it goes up by a twentieth, and when it is well above what anybody uses, the
// governor rests, and I/O passes without it. So nobody is slowed without need.
//
// Why that works: it takes no model of the machine. Be the CPU of a loop short, a disk or
// the network, volumes share it by how much they ask for, and who asks for less because
// it may not ask for more leaves the rest to others. At the lowest level everybody is at
// its minimum, near enough; if that is within the machine's means, everybody gets it, so
// somewhere above there is a level at which nobody is owed anything, and the governor
// swings around the highest of these.
//
// Who asks for more is told from the time that its I/Os are with us: served, waiting for
// that, or not seen yet because the loop had others (IO.Waited). With one or more there
// for half of the time on average, more would have come if they had been
// served faster. A client that waits for itself for longer than for us is not made faster by
// slowing others. And if a volume stays below its minimum with the level at its lowest for a
// second, then slowing others doesn't help it, or more is promised than the machine has: its
// claim is left out for a minute, and counted as unmet.
//
// The volumes of a process share one. Its methods may be called by any goroutine.
type Governor struct {
	level atomic.Pointer[float64] // nil: at rest
	next  atomic.Int64            // when to look again, since epoch
	epoch time.Time

	claims atomic.Int32 // volumes that have a minimum

	mu      sync.Mutex
	looked  time.Duration // since epoch
	volumes map[*Volume]struct{}
	bottom  time.Duration // for how long the level has been at its lowest
}

const (
	period   = 100 * time.Millisecond
	lowest   = 10.0 // I/Os a second: nobody is starved
	down, up = 0.8, 1.05
	forget   = 0.9         // of a peak, each time
	patience = time.Second // at the lowest level
	excuse   = time.Minute
)

// claim is what the governor knows of a volume: guarded by its lock, but for what is
// atomic.
type claim struct {
	minimum atomic.Int64 // I/Os a second
	unmet   atomic.Int64 // nanoseconds
	owing   atomic.Bool  // it is owed something, and not held
	last    reading
	peak    float64       // I/Os a second, the most of late
	owed    float64       // I/Os; below 0 is what it got ahead
	excused time.Duration // until then, since epoch
}

func (c *claim) guaranteed() float64 { return float64(c.minimum.Load()) }

// NewGovernor makes a governor of no volumes.
func NewGovernor(now time.Time) *Governor {
	return &Governor{epoch: now, volumes: map[*Volume]struct{}{}}
}

// Add makes a volume with these settings. Close it when it is not served any more.
func (g *Governor) Add(s Settings, now time.Time) (*Volume, error) {
	v := &Volume{governor: g}
	if err := v.Set(s, now); err != nil {
		return nil, err
	}
	return v, nil
}

// Level is how far above its minimum a volume may go, in I/Os a second; not ok if the
// governor rests.
func (g *Governor) Level() (level float64, ok bool) {
	if l := g.level.Load(); l != nil {
		return *l, true
	}
	return 0, false
}

// since is a moment as all here have it.
func (g *Governor) since(now time.Time) time.Duration { return now.Sub(g.epoch) }

// guarantee notes a volume and its minimum.
func (g *Governor) guarantee(v *Volume, minimum float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.volumes[v]; !known {
		v.claim.last = v.service.read()
		g.volumes[v] = struct{}{}
	}
	g.setMinimum(v, int64(minimum+0.5))
}

// setMinimum keeps count of who has one. With the last claim the governor rests.
func (g *Governor) setMinimum(v *Volume, minimum int64) {
	before := v.claim.minimum.Swap(minimum)
	switch {
	case before == 0 && minimum > 0:
		g.claims.Add(1)
	case before > 0 && minimum == 0 && g.claims.Add(-1) == 0:
		g.level.Store(nil)
	}
	v.claim.owed, v.claim.excused = 0, 0
}

func (g *Governor) forget(v *Volume) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.setMinimum(v, 0)
	delete(g.volumes, v)
}

// turn looks at the volumes if it is time to. I/O drives it: without any there is nothing
// to govern.
func (g *Governor) turn(at time.Duration) {
	if g.claims.Load() == 0 {
		return
	}
	next := g.next.Load()
	if int64(at) < next || !g.next.CompareAndSwap(next, int64(at+period)) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	passed := at - g.looked
	g.looked = at
	if passed <= 0 {
		return
	}
	var used float64
	owing := false
	for v := range g.volumes {
		owing = v.claim.look(v.service.read(), at, passed) || owing
		used = max(used, v.claim.peak-v.claim.guaranteed())
	}
	g.adjust(owing, used, passed, at)
}

// look sees what a volume got in the time that has passed, and says whether it is owed
// more.
func (c *claim) look(now reading, at, passed time.Duration) bool {
	last := c.last
	c.last = now
	got := float64(now.units - last.units)
	c.peak = max(c.peak*forget, got/passed.Seconds())
	share := c.guaranteed() * passed.Seconds()
	if share == 0 || !asking(last, now, passed) {
		c.owed = 0
		c.owing.Store(false)
		return false
	}
	// What comes in lumps counts on average: it may be ahead by one of them. It may be
	// behind by a little, so that it isn't paid back for long.
	c.owed = min(max(c.owed+share-got, -c.peak*passed.Seconds()), 2*share)
	c.owing.Store(c.owed > 0)
	if c.owed > 0 {
		c.unmet.Add(int64(passed))
	}
	return c.owed > share/2 && at >= c.excused
}

// asking says that a volume's client would have done more: on average it had an I/O with
// us for half of the time, or one that did not end.
func asking(last, now reading, passed time.Duration) bool {
	endless := now.done == last.done && last.released > last.done
	return endless || now.busy-last.busy >= passed/2
}

// adjust moves the level. used is the most that anybody did beyond its minimum.
func (g *Governor) adjust(owing bool, used float64, passed, at time.Duration) {
	level := g.level.Load()
	switch {
	case owing && level == nil:
		g.put(used * down)
	case owing:
		g.put(*level * down)
	case level == nil:
		return
	case *level > 2*used && *level > lowest*2 || passed > patience:
		g.level.Store(nil)
	default:
		g.put(*level * up)
	}
	g.giveUp(owing, passed, at)
}

func (g *Governor) put(level float64) {
	level = max(level, lowest)
	g.level.Store(&level)
}

// giveUp leaves out for a while who is still owed when others can't be slowed further.
func (g *Governor) giveUp(owing bool, passed, at time.Duration) {
	level := g.level.Load()
	if !owing || level == nil || *level > lowest {
		g.bottom = 0
		return
	}
	if g.bottom += passed; g.bottom < patience {
		return
	}
	g.bottom = 0
	for v := range g.volumes {
		if v.claim.owed > 0 {
			v.claim.excused = at + excuse
		}
	}
	g.level.Store(nil)
}
