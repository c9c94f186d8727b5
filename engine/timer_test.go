package engine

import (
	"math"
	"math/rand/v2"
	"testing"
)

// timerModel is a heap of timers, and when each is due.
type timerModel struct {
	tb    testing.TB
	h     timers
	all   [16]timer
	armed map[*timer]int64
}

func newTimerModel(tb testing.TB) *timerModel {
	return &timerModel{tb: tb, armed: make(map[*timer]int64)}
}

func (m *timerModel) step(op, which byte, when int64) {
	t := &m.all[int(which)%len(m.all)]
	switch op % 4 {
	case 0, 1: // arm, or move
		m.h.set(t, when)
		m.armed[t] = when
	case 2:
		m.h.remove(t)
		delete(m.armed, t)
	case 3:
		m.due(when)
	}
}

func (m *timerModel) earliest() int64 {
	first := int64(math.MaxInt64)
	for _, when := range m.armed {
		first = min(first, when)
	}
	return first
}

// due takes all that are due, which must come in order.
func (m *timerModel) due(now int64) {
	m.tb.Helper()
	for t := m.h.due(now); t != nil; t = m.h.due(now) {
		when, armed := m.armed[t]
		switch {
		case !armed:
			m.tb.Fatal("a timer fired that was not armed")
		case t.when != when || when > now:
			m.tb.Fatalf("a timer for %d that says %d fired at %d", when, t.when, now)
		case when != m.earliest():
			m.tb.Fatalf("a timer for %d fired before one for %d", when, m.earliest())
		}
		delete(m.armed, t)
	}
	if len(m.armed) > 0 && m.earliest() <= now {
		m.tb.Fatalf("a timer for %d did not fire at %d", m.earliest(), now)
	}
}

func (m *timerModel) check() {
	m.tb.Helper()
	if len(m.h) != len(m.armed) {
		m.tb.Fatalf("%d timers in the heap, want %d", len(m.h), len(m.armed))
	}
	when, armed := m.h.next()
	if armed != (len(m.armed) > 0) || armed && when != m.earliest() {
		m.tb.Fatalf("next is %d, %v, want %d", when, armed, m.earliest())
	}
	for i := range m.all {
		t := &m.all[i]
		_, armed := m.armed[t]
		if armed != (t.index != 0) || armed && m.h[t.index-1] != t {
			m.tb.Fatalf("timer %d, armed %v, has index %d", i, armed, t.index)
		}
	}
}

func TestTimersModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		m := newTimerModel(t)
		for range 400 {
			m.step(byte(r.UintN(256)), byte(r.UintN(256)), r.Int64N(50)-10)
			m.check()
		}
		m.due(math.MaxInt64)
		m.check()
	}
}

func FuzzTimers(f *testing.F) {
	f.Add([]byte{0, 1, 5, 0, 2, 3, 0, 3, 9, 0, 2, 10, 2, 1, 0, 3, 0, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newTimerModel(t)
		for ; len(ops) > 2; ops = ops[3:] {
			m.step(ops[0], ops[1], int64(int8(ops[2])))
			m.check()
		}
		m.due(math.MaxInt64)
		m.check()
	})
}

// What a timer times must be collected when it is disarmed.
func TestTimersKeepNothing(t *testing.T) {
	var h timers
	all := make([]timer, 8)
	for i := range all {
		h.set(&all[i], int64(i))
	}
	for i := range all {
		h.remove(&all[i])
	}
	for i, kept := range h[:cap(h)] {
		if kept != nil {
			t.Fatalf("place %d of the heap still has a timer", i)
		}
	}
}
