package qos

import (
	"math"
	"time"
)

// slack is how much of a rate may be used at once by who has not used it before. A loop
// that is a millisecond late with what it has let wait makes up for it so.
const slack = 10 * time.Millisecond

// A bucket fills at a rate up to its depth. What is taken out may leave it below zero:
// then the next one waits until that is paid. So an I/O of any size gets through, and in
// any time t go at most depth + rate × t, and one I/O. The zero value has no limit.
type bucket struct {
	rate  float64 // a second; 0 is no limit
	depth float64
	level float64
}

// set changes the rate and the depth, and keeps what is owed, or saved as far as it fits.
func (b *bucket) set(rate, depth float64) {
	b.rate, b.depth = rate, depth
	b.level = min(b.level, depth)
}

// ready is how long it takes until no more than so much is owed.
func (b *bucket) ready(owed float64) time.Duration {
	if b.rate == 0 || b.level >= -owed {
		return 0
	}
	const longest = 24 * time.Hour
	return time.Duration(min(math.Ceil(-(b.level+owed)/b.rate*1e9), float64(longest)))
}

// fill lets time pass.
func (b *bucket) fill(passed time.Duration) {
	b.level = min(b.depth, b.level+b.rate*passed.Seconds())
}

// take takes n out. Without a limit there is nothing to take from.
func (b *bucket) take(n float64) {
	if b.rate > 0 {
		b.level -= n
	}
}

// A pair is the two buckets of one kind of limit. sustained fills at the maximum and
// holds the credits; peak fills at the burst rate and holds none. What goes has to be in
// both.
type pair struct{ sustained, peak bucket }

// set makes a pair of limits. Credits last for burstFor: meanwhile what the burst takes
// is more than what the maximum puts in by just their difference.
func (p *pair) set(l Limits, burstFor time.Duration) {
	rate, burst := float64(l.Max), float64(l.Burst)
	credits := 0.0
	if burst > rate {
		credits = (burst - rate) * burstFor.Seconds()
	} else {
		burst = 0
	}
	p.sustained.set(rate, rate*slack.Seconds()+credits)
	p.peak.set(burst, burst*slack.Seconds())
}

func (p *pair) ready() time.Duration { return max(p.sustained.ready(0), p.peak.ready(0)) }

func (p *pair) fill(passed time.Duration) {
	p.sustained.fill(passed)
	p.peak.fill(passed)
}

func (p *pair) take(n float64) {
	p.sustained.take(n)
	p.peak.take(n)
}

// credits is what has been saved for a burst.
func (p *pair) credits() float64 {
	if p.peak.rate == 0 {
		return 0
	}
	return max(0, p.sustained.level-p.sustained.rate*slack.Seconds())
}
