package qos

import "time"

// A line is what the governor lets pass at a rate that it changes ten times a second:
// first come, first served, and who waits may ask again when the rate is another. Its
// zero value is empty.
type line struct {
	bucket
	at     time.Duration // the bucket is filled up to here
	behind float64       // all that has ever lined up
}

// join gives the next one its place.
func (l *line) join(n float64) (place float64) {
	place = l.behind
	l.behind += n
	l.level -= n
	return place
}

// wait is how long who has a place is to wait at a rate, 0 if it may pass.
func (l *line) wait(place, rate float64, now time.Duration) time.Duration {
	l.set(rate, rate*slack.Seconds())
	if now > l.at {
		l.fill(now - l.at)
		l.at = now
	}
	return l.ready(l.behind - place) // what is owed for who came later is not for it to wait for
}

// dissolve lets everybody pass.
func (l *line) dissolve() { l.level = max(l.level, 0) }
