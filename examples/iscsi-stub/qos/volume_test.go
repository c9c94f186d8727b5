package qos

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var epoch = time.Unix(1e9, 0)

// after is a moment of the tests' clock.
func after(d time.Duration) time.Time { return epoch.Add(d) }

func mustAdd(t testing.TB, g *Governor, s Settings) *Volume {
	t.Helper()
	v, err := g.Add(s, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An admitted I/O of a test: when it went, and how much of each kind it took.
type admitted struct {
	when         time.Duration
	units, bytes float64
}

// TestNeverAboveTheCaps looks at every window between two I/Os of random loads on random
// settings: it is nowhere above what bursts and credits allow, and in order.
func TestNeverAboveTheCaps(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := randomSettings(r)
		v := mustAdd(t, NewGovernor(epoch), s)
		var all []admitted
		now := time.Duration(0)
		for range 300 {
			if r.IntN(4) == 0 {
				now += time.Duration(r.ExpFloat64() * float64(50*time.Millisecond))
			}
			bytes := r.IntN(3 * IOSize)
			if r.IntN(20) == 0 {
				bytes = 1 << 20
			}
			wait := v.Admit(&IO{Write: r.IntN(2) == 0, Bytes: bytes}, after(now))
			all = append(all, admitted{now + wait, float64(units(bytes)), float64(bytes)})
		}
		for kind, limits := range map[string]Limits{"I/Os": s.IOPS, "bytes": s.Bandwidth} {
			checkWindows(t, all, limits, s.BurstFor, func(a admitted) float64 {
				if kind == "bytes" {
					return a.bytes
				}
				return a.units
			})
		}
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
}

func randomSettings(r *rand.Rand) Settings {
	limits := func(most int) Limits {
		l := Limits{}
		if r.IntN(4) > 0 {
			l.Max = uint64(1 + r.IntN(most))
			if r.IntN(2) == 0 {
				l.Burst = l.Max + uint64(r.IntN(most))
			}
		}
		return l
	}
	return Settings{IOPS: limits(5000), Bandwidth: limits(50 << 20), BurstFor: time.Duration(1 + r.IntN(int(2*time.Second)))}
}

// checkWindows: in any window goes at most what the slack and the rate allow, the
// credits above that at burst rate, and one I/O.
func checkWindows(t *testing.T, all []admitted, l Limits, burstFor time.Duration, size func(admitted) float64) {
	t.Helper()
	if l.Max == 0 {
		return
	}
	maximum, burst := float64(l.Max), float64(max(l.Burst, l.Max))
	for i := range all {
		sum := 0.0
		for j := i; j < len(all); j++ {
			if j > 0 && all[j].when < all[j-1].when {
				t.Fatalf("I/O %d went before the one before it", j)
			}
			span := (all[j].when - all[i].when + slack).Seconds()
			allowed := min(burst*span, maximum*span+(burst-maximum)*burstFor.Seconds())
			if sum > allowed*(1+1e-6)+1e-3 { // the newest may still owe all of itself
				t.Fatalf("%+v: I/Os %d to %d: %.1f in %v, allowed are %.1f", l, i, j, sum, all[j].when-all[i].when, allowed)
			}
			sum += size(all[j])
		}
	}
}

// TestGreedyGetsItsMaximum: the cap takes nothing of what it allows, with a client that
// always has one I/O waiting, and one whose loop is late with each.
func TestGreedyGetsItsMaximum(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond} {
		v := mustAdd(t, NewGovernor(epoch), Settings{IOPS: Limits{Max: 500}})
		done := 0
		for now := time.Duration(0); now < 10*time.Second; done++ {
			io := IO{Bytes: 4096}
			for wait := v.Admit(&io, after(now)); wait > 0; wait = v.Admit(&io, after(now)) {
				now += wait + late
			}
		}
		if done < 4995 || done > 5010 {
			t.Errorf("late by %v: %d I/Os in 10 s, want 5000", late, done)
		}
	}
}

// TestLargeCountsAsSeveral: 128 units each, at 256 a second.
func TestLargeCountsAsSeveral(t *testing.T) {
	v := mustAdd(t, NewGovernor(epoch), Settings{IOPS: Limits{Max: 256}})
	for i, want := range []time.Duration{0, 490, 990} { // slack makes up for the first 10 ms
		got := v.Admit(&IO{Bytes: 1 << 20}, after(10*time.Millisecond)).Round(10 * time.Millisecond)
		if got != want*time.Millisecond {
			t.Errorf("I/O %d waits %v, want %v ms", i, got, want)
		}
	}
	for bytes, want := range map[int]int{0: 1, 1: 1, IOSize: 1, IOSize + 1: 2, 1 << 20: 128} {
		if got := units(bytes); got != want {
			t.Errorf("%d bytes count as %d, want %d", bytes, got, want)
		}
	}
}

// TestBurstLastsAsLongAsCredits: none at the start; full after enough of rest, it lasts
// for BurstFor, and then the maximum holds again.
func TestBurstLastsAsLongAsCredits(t *testing.T) {
	v := mustAdd(t, NewGovernor(epoch), Settings{IOPS: Limits{Max: 100, Burst: 300}, BurstFor: 5 * time.Second})
	if got := inSecond(v, 0); got > 102 {
		t.Errorf("%d I/Os in the first second, without any credits", got)
	}
	v.Counters(after(100 * time.Second))
	if got := v.Counters(after(100 * time.Second)).Credits.IOs; got != 1000 {
		t.Errorf("%v credits after a rest, want (300 - 100) × 5", got)
	}
	for i, want := range []int{300, 300, 300, 300, 300, 100, 100} {
		if got := inSecond(v, time.Duration(100+i)*time.Second); got < want-10 || got > want+10 {
			t.Errorf("second %d of the burst: %d I/Os, want %d", i, got, want)
		}
	}
	if got := v.Counters(after(107 * time.Second)).Credits.IOs; got > 1 {
		t.Errorf("%v credits are left", got)
	}
}

// inSecond is how many I/Os a greedy client gets in a second.
func inSecond(v *Volume, from time.Duration) (done int) {
	for now := from; ; done++ {
		now += v.Admit(&IO{Bytes: 4096}, after(now))
		if now >= from+time.Second {
			return done
		}
	}
}

// TestSetWhileRunning: a new limit holds for the next I/O, what is owed stays owed in
// I/Os, not in time, and no credits are made of nothing.
func TestSetWhileRunning(t *testing.T) {
	v := mustAdd(t, NewGovernor(epoch), Settings{IOPS: Limits{Max: 10}})
	for range 11 {
		v.Admit(&IO{Bytes: 1}, epoch) // the eleventh goes in a second
	}
	set := func(s Settings) {
		t.Helper()
		if err := v.Set(s, epoch); err != nil {
			t.Fatal(err)
		}
	}
	set(Settings{IOPS: Limits{Max: 1000, Burst: 2000}})
	if got := v.Admit(&IO{Bytes: 1}, epoch); got < time.Second || got > time.Second+2*time.Millisecond {
		t.Errorf("the twelfth waits %v, want 1 s and 1 ms", got)
	}
	if got := v.Counters(after(2 * time.Second)).Credits.IOs; got > 1000 {
		t.Errorf("%v credits after a second", got)
	}
	set(Settings{})
	if got := v.Admit(&IO{Bytes: 1 << 30}, epoch); got != 0 {
		t.Errorf("without limits: waits %v", got)
	}
}

func TestSettingsThatContradictThemselves(t *testing.T) {
	for _, s := range []Settings{
		{IOPS: Limits{Burst: 1}},
		{IOPS: Limits{Max: 2, Burst: 1}},
		{Bandwidth: Limits{Min: 3, Max: 2}},
		{BurstFor: -1},
	} {
		if _, err := NewGovernor(epoch).Add(s, epoch); !errors.Is(err, ErrSettings) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Settings{{}, {IOPS: Limits{Min: 1, Max: 1, Burst: 1}}, {Bandwidth: Limits{Min: 5}}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestCountersOfDelays: counted is what has been waited for when the I/O goes.
func TestCountersOfDelays(t *testing.T) {
	v := mustAdd(t, NewGovernor(epoch), Settings{Bandwidth: Limits{Max: 1000}})
	var ios [4]IO
	var waits [4]time.Duration
	for i := range ios {
		ios[i].Bytes = 1000
		waits[i] = v.Admit(&ios[i], epoch)
	}
	for i := range ios[:3] { // the last one is aborted
		if again := v.Admit(&ios[i], after(waits[i])); waits[i] > 0 && again != 0 {
			t.Errorf("I/O %d is told to wait for %v, and then for %v", i, waits[i], again)
		}
	}
	for i := range ios {
		v.Done(&ios[i], after(time.Minute))
	}
	want := Counters{IOs: 4, Limited: Delays{IOs: 2, For: waits[1] + waits[2]}}
	if got := v.Counters(epoch); got != want || waits[3] != 3*time.Second {
		t.Errorf("got %+v, want %+v; waits %v", got, want, waits)
	}
}

// TestFromSeveralLoops: together they stay below the cap, under the race detector.
func TestFromSeveralLoops(t *testing.T) {
	g := NewGovernor(epoch)
	v := mustAdd(t, g, Settings{IOPS: Limits{Max: 1000}})
	other := mustAdd(t, g, Settings{IOPS: Limits{Min: 10}})
	var within atomic.Int64
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for i := range 1000 {
				now := after(time.Duration(i) * time.Millisecond)
				mine, its := IO{Bytes: 1}, IO{Write: true, Bytes: 1}
				if i+int(v.Admit(&mine, now)/time.Millisecond) < 1000 {
					within.Add(1)
				}
				other.Admit(&its, now)
				v.Done(&mine, now)
				other.Done(&its, now)
				if i%100 == 0 {
					_ = v.Set(Settings{IOPS: Limits{Max: 1000}}, now)
					v.Counters(now)
				}
			}
		})
	}
	loops.Wait()
	if n := within.Load(); n > 1015 {
		t.Errorf("%d I/Os in a second, at most 1000 and slack are allowed", n)
	}
}

func TestAdmitAllocatesNothing(t *testing.T) {
	g := NewGovernor(epoch)
	v := mustAdd(t, g, Settings{IOPS: Limits{Min: 100, Max: 1000, Burst: 2000}, Bandwidth: Limits{Max: 1 << 20}})
	level := 1000.0
	g.level.Store(&level)
	g.next.Store(1 << 62) // ten times a second it may
	now := epoch
	var io IO
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Microsecond)
		io.Bytes = 4096
		v.Admit(&io, now)
		v.Done(&io, now)
	}); n != 0 {
		t.Errorf("%v allocations an I/O", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, s := range map[string]Settings{
		"free":    {},
		"limited": {IOPS: Limits{Max: 1e9, Burst: 2e9}, Bandwidth: Limits{Max: 1e12}},
	} {
		b.Run(name, func(b *testing.B) {
			v, err := NewGovernor(time.Now()).Add(s, time.Now())
			if err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			var io IO
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				io.Bytes = 4096
				v.Admit(&io, now)
				v.Done(&io, now)
			}
		})
	}
}
