package qos

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A simLoop serves connections as an event loop does: what has come during a turn waits
// in its socket for the next one, where nobody sees it, and is then served at once, or
// when quality of service lets it. Time is virtual.
type simLoop struct {
	governor *Governor
	clients  []*peer
	now      time.Duration
	begun    time.Duration // when the last turn began
	socket   backlog       // unread
	timers   backlog
}

// A peer is a client of a loop that keeps depth I/Os of so many bytes going, and has a
// message take rtt there and back.
type peer struct {
	volume       *Volume
	depth, bytes int
	rtt          time.Duration
	done         int // I/Os
	counts       []int
}

type request struct {
	from *peer
	io   *IO
	at   time.Duration // when it is there, or due
}

func newSimLoop() *simLoop { return &simLoop{governor: NewGovernor(epoch)} }

func (l *simLoop) peer(t *testing.T, s Settings, depth, bytes int, rtt time.Duration) *peer {
	p := &peer{volume: mustAdd(t, l.governor, s), depth: depth, bytes: bytes, rtt: rtt}
	l.clients = append(l.clients, p)
	for range depth {
		l.socket.put(request{p, &IO{Bytes: bytes}, 0})
	}
	return p
}

// cost is for how long an I/O keeps the loop, one that is slow, so that the tests are not.
func cost(bytes int) time.Duration { return 20*time.Microsecond + time.Duration(bytes) }

// run lets seconds pass, and notes for each what everybody got.
func (l *simLoop) run(seconds int) {
	for s := range seconds {
		for l.now < time.Duration(s+1)*time.Second {
			l.turn()
		}
		for _, p := range l.clients {
			p.counts = append(p.counts, p.done)
		}
	}
}

// turn handles what is there, or due, when it begins.
func (l *simLoop) turn() {
	if next := min(l.socket.first(), l.timers.first()); next > l.now {
		l.now, l.begun = next, next // it sleeps
	}
	since := l.begun
	l.begun = l.now
	for _, r := range l.socket.ripe(l.now) {
		r.io.Waited = l.now - since
		l.admit(r)
	}
	for _, r := range l.timers.ripe(l.begun) {
		l.admit(r)
	}
	l.now += 2 * time.Microsecond // to look again
}

// A backlog is requests in the order of their times.
type backlog []request

func byTime(r request, at time.Duration) int { return cmp.Compare(r.at, at) }

// put queues r behind what is there as early.
func (b *backlog) put(r request) {
	i, _ := slices.BinarySearchFunc(*b, r.at+1, byTime)
	*b = slices.Insert(*b, i, r)
}

func (b backlog) first() time.Duration {
	if len(b) == 0 {
		return 1 << 62
	}
	return b[0].at
}

// ripe takes out what is there by now.
func (b *backlog) ripe(now time.Duration) []request {
	n, _ := slices.BinarySearchFunc(*b, now+1, byTime)
	all := slices.Clone((*b)[:n])
	*b = slices.Delete(*b, 0, n)
	return all
}

func (l *simLoop) admit(r request) {
	p := r.from
	if wait := p.volume.Admit(r.io, after(l.now)); wait > 0 {
		l.timers.put(request{p, r.io, l.now + wait})
		return
	}
	l.now += cost(p.bytes)
	p.volume.Done(r.io, after(l.now))
	p.done++
	*r.io = IO{Bytes: p.bytes}
	l.socket.put(request{p, r.io, l.now + p.rtt})
}

// rate is in I/Os a second, from the end of one second to that of another.
func (p *peer) rate(from, to int) float64 {
	return float64(p.counts[to-1]-p.counts[from-1]) / float64(to-from)
}

// TestMinimaAreMetByABusyLoop: where an I/O waits for the loop, and is then served at once.
func TestMinimaAreMetByABusyLoop(t *testing.T) {
	const network = 90 * time.Microsecond
	type guest struct {
		min          uint64
		depth, bytes int
		count        int
	}
	for name, guests := range map[string][]guest{
		"depth 1, four noisy":     {{3000, 1, 4096, 1}, {0, 128, 64 << 10, 4}},
		"depth 1, large I/Os":     {{2000, 1, 4096, 1}, {0, 32, 1 << 20, 4}},
		"depth 8":                 {{10000, 8, 4096, 1}, {0, 128, 64 << 10, 4}},
		"several of depth 1":      {{1500, 1, 4096, 10}, {0, 128, 64 << 10, 4}},
		"noisy ones have one too": {{2000, 1, 4096, 2}, {2000, 128, 64 << 10, 4}},
		"many noisy of depth 1":   {{3000, 1, 4096, 1}, {0, 1, 64 << 10, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSimLoop()
			for _, g := range guests {
				for range g.count {
					l.peer(t, Settings{IOPS: Limits{Min: g.min}}, g.depth, g.bytes, network)
				}
			}
			l.check(t, 0.95)
		})
	}
}

// check runs the loop, and then everybody is to have so much of its minimum, without the
// loop being idle for that.
func (l *simLoop) check(t *testing.T, share float64) {
	t.Helper()
	l.run(10)
	var busy time.Duration
	for i, p := range l.clients {
		got, want := p.rate(5, 10)*float64(units(p.bytes)), p.volume.claim.guaranteed()
		busy += time.Duration(p.rate(5, 10) * float64(cost(p.bytes)))
		t.Logf("client %d: minimum %.0f, got %.0f", i, want, got)
		if got < share*want || got == 0 {
			t.Errorf("client %d: got %.0f, its minimum is %.0f", i, got, want)
		}
	}
	t.Logf("busy for %v a second", busy)
	if busy < 700*time.Millisecond {
		t.Errorf("the loop was busy for %v a second", busy)
	}
}

// TestMinimaOfAnyKindAreMetByABusyLoop: random clients with minima that are half of the
// loop together, each a third of what its client could do alone, or less; one of them or more
// is noisy.
func TestMinimaOfAnyKindAreMetByABusyLoop(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := newSimLoop()
		load := 0.0
		for range 1 + r.IntN(12) {
			depth, bytes := 1+r.IntN(8), 4096<<r.IntN(6)
			rtt := time.Duration(50+r.IntN(1000)) * time.Microsecond
			alone := min(float64(depth)/(rtt+cost(bytes)).Seconds(), 1/cost(bytes).Seconds())
			rate := min(alone*r.Float64()/3, (0.5-load)/cost(bytes).Seconds())
			load += rate * cost(bytes).Seconds()
			l.peer(t, Settings{IOPS: Limits{Min: uint64(rate * float64(units(bytes)))}}, depth, bytes, rtt)
		}
		for range 1 + r.IntN(4) {
			l.peer(t, Settings{}, 16+r.IntN(240), 4096<<r.IntN(9), 100*time.Microsecond)
		}
		if l.check(t, 0.9); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestABusyLoopIsNotSlowedForWhoWaitsForItself: with turns of some 10 ms, who takes a
// second to think has nothing of shorter ones, and is far below its minimum for itself.
func TestABusyLoopIsNotSlowedForWhoWaitsForItself(t *testing.T) {
	l := newSimLoop()
	idle := l.peer(t, Settings{IOPS: Limits{Min: 1000}}, 1, 4096, time.Second)
	noisy := l.peer(t, Settings{}, 128, 64<<10, 100*time.Microsecond)
	l.run(10)
	if c := noisy.volume.Counters(after(l.now)); c.Yielded.IOs > 0 {
		t.Errorf("the noisy one was slowed: %+v", c)
	}
	if c := idle.volume.Counters(after(l.now)); c.Unmet > 0 {
		t.Errorf("unmet for %v", c.Unmet)
	}
}
