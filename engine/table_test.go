package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nsreactor/nsreactor/poller"
)

// tableModel is a table and what each token of its history must find.
type tableModel struct {
	tb    testing.TB
	t     table
	live  []tableEntry
	stale []poller.Token
}

type tableEntry struct {
	token poller.Token
	conn  *Conn
	other *source
}

func (m *tableModel) step(op, which byte) {
	switch {
	case op%3 == 0 || len(m.live) == 0:
		var e tableEntry
		if which%4 == 0 {
			e.other = new(source)
		} else {
			e.conn = new(Conn)
		}
		e.token = m.t.put(e.conn, e.other)
		if e.token.Slot() == poller.WakeToken.Slot() {
			m.tb.Fatal("put gave away the waker's slot")
		}
		if slices.ContainsFunc(m.live, func(o tableEntry) bool { return o.token.Slot() == e.token.Slot() }) {
			m.tb.Fatalf("slot %d is in use twice", e.token.Slot())
		}
		if slices.Contains(m.stale, e.token) {
			m.tb.Fatalf("token %v is given out twice", e.token)
		}
		m.live = append(m.live, e)
	case op%3 == 1:
		i := int(which) % len(m.live)
		m.t.drop(m.live[i].token)
		m.stale = append(m.stale, m.live[i].token)
		m.live = slices.Delete(m.live, i, i+1)
	case len(m.stale) > 0: // nothing happens
		m.t.drop(m.stale[int(which)%len(m.stale)])
	}
}

func (m *tableModel) check() {
	m.tb.Helper()
	for _, e := range m.live {
		if c, l := m.t.get(e.token); c != e.conn || l != e.other {
			m.tb.Fatalf("token %v finds %p %p, want %p %p", e.token, c, l, e.conn, e.other)
		}
		ahead := poller.NewToken(e.token.Slot(), e.token.Generation()+1)
		if c, l := m.t.get(ahead); c != nil || l != nil {
			m.tb.Fatalf("token %v finds something before it was given out", ahead)
		}
	}
	beyond := poller.NewToken(uint32(len(m.t.slots)), 0)
	for _, token := range append(m.stale, poller.WakeToken, beyond, poller.NewToken(math.MaxUint32, 0)) {
		if c, l := m.t.get(token); c != nil || l != nil {
			m.tb.Fatalf("token %v finds %p %p", token, c, l)
		}
	}
	if got, want := len(m.t.slots)-1-len(m.t.free), len(m.live); got != want {
		m.tb.Fatalf("%d slots in use, want %d", got, want)
	}
}

func TestTableModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &tableModel{tb: t, t: newTable()}
		for range 300 {
			m.step(byte(r.UintN(256)), byte(r.UintN(256)))
			m.check()
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 0, 4, 1, 0, 2, 0, 0, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := &tableModel{tb: t, t: newTable()}
		for ; len(ops) > 1; ops = ops[2:] {
			m.step(ops[0], ops[1])
			m.check()
		}
	})
}

func TestTableReusesSlotsWithTheNextGeneration(t *testing.T) {
	tab := newTable()
	first := tab.put(new(Conn), nil)
	tab.drop(first)
	second := tab.put(new(Conn), nil)
	if want := poller.NewToken(first.Slot(), first.Generation()+1); second != want {
		t.Fatalf("after %v comes %v, want %v", first, second, want)
	}
	tab.drop(first) // stale
	if c, _ := tab.get(second); c == nil {
		t.Fatal("a stale token has dropped its successor")
	}
}

func TestTableGenerationWraps(t *testing.T) {
	tab := newTable()
	i := tab.put(new(Conn), nil).Slot()
	tab.slots[i].generation = math.MaxUint32
	last := poller.NewToken(i, math.MaxUint32)
	tab.drop(last)
	next, c := poller.Token(0), new(Conn)
	if next = tab.put(c, nil); next != poller.NewToken(i, 0) {
		t.Fatalf("after %v comes %v", last, next)
	}
	if next == poller.WakeToken {
		t.Fatal("a token of ours is the waker's")
	}
	if got, _ := tab.get(last); got != nil {
		t.Fatal("the token before the wrap still finds something")
	}
	if got, _ := tab.get(next); got != c {
		t.Fatal("the token after the wrap finds nothing")
	}
}
