package poller

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// model is a poller and what it must say. Its descriptors are one end of socket
// pairs, of which the test holds the other.
type model struct {
	tb    testing.TB
	p     *Poller
	ends  [6]modelEnd
	woken bool
}

type modelEnd struct {
	near, far  *file
	generation uint32
	unread     int
	half       bool // the far end has shut down its writing

	registered bool
	token      Token
	interest   Interest
}

func newModel(tb testing.TB) *model {
	m := &model{tb: tb, p: newPoller(tb)}
	for i := range m.ends {
		m.ends[i].near, m.ends[i].far = pair(tb)
	}
	return m
}

// step does what two bytes say: what, and to which end.
func (m *model) step(op, which byte) {
	slot := uint32(which)%uint32(len(m.ends)) + 1
	e := &m.ends[slot-1]
	interest := Interest(which>>4) & (Readable | Writable)
	switch op % 9 {
	case 0: // register, which fails if it is already
		token := NewToken(slot, e.generation)
		err := m.p.Add(e.near.fd, token, interest)
		if (err == nil) == e.registered {
			m.tb.Fatalf("Add of end %d, registered %v: %v", slot, e.registered, err)
		}
		if err == nil {
			e.registered, e.token, e.interest = true, token, interest
		}
	case 1: // another interest and another generation
		token := NewToken(slot, e.generation+1)
		err := m.p.Modify(e.near.fd, token, interest)
		if (err == nil) != e.registered {
			m.tb.Fatalf("Modify of end %d, registered %v: %v", slot, e.registered, err)
		}
		if err == nil {
			e.generation++
			e.token, e.interest = token, interest
		}
	case 2:
		if err := m.p.Remove(e.near.fd); (err == nil) != e.registered {
			m.tb.Fatalf("Remove of end %d, registered %v: %v", slot, e.registered, err)
		}
		e.registered = false
	case 3, 4: // bytes arrive
		if e.far.fd >= 0 && !e.half && e.unread < 16 { // the socket takes so many
			e.far.write("x")
			e.unread++
		}
	case 5: // bytes are read
		for ; e.unread > 0; e.unread-- {
			var one [1]byte
			if n, err := unix.Read(e.near.fd, one[:]); n != 1 || err != nil {
				m.tb.Fatalf("read of end %d: %d, %v", slot, n, err)
			}
		}
	case 6: // the far end goes, half or whole
		if e.far.fd >= 0 && which&1 == 0 {
			e.half = true
			must(m.tb, unix.Shutdown(e.far.fd, unix.SHUT_WR))
		} else {
			e.far.close()
		}
	case 7: // the near end goes, and another takes its slot
		if e.registered && which&1 == 0 {
			must(m.tb, m.p.Remove(e.near.fd)) // without, close(2) must do
		}
		e.near.close()
		e.far.close()
		*e = modelEnd{generation: e.generation + 1}
		e.near, e.far = pair(m.tb)
	case 8:
		must(m.tb, m.p.Wake())
		m.woken = true
	}
}

func (m *model) check() {
	m.tb.Helper()
	want := make(map[Token]string)
	if m.woken {
		want[WakeToken] = "readable"
		m.woken = false
	}
	for i := range m.ends {
		e := &m.ends[i]
		if r := e.readiness(); e.registered && r != 0 {
			want[e.token] = r.String()
		}
	}
	expect(m.tb, m.p, want)
}

func (e *modelEnd) readiness() Readiness {
	var r Readiness
	gone := e.far.fd < 0
	if e.interest&Readable != 0 && (e.unread > 0 || gone || e.half) {
		r |= unix.EPOLLIN
	}
	if e.interest&Writable != 0 {
		r |= unix.EPOLLOUT
	}
	if gone {
		r |= unix.EPOLLHUP
	}
	return r
}

func TestModel(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := newModel(t)
		for range 400 {
			m.step(byte(r.UintN(256)), byte(r.UintN(256)))
			if r.UintN(3) > 0 {
				m.check()
			}
		}
		m.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 0x10, 3, 0, 5, 0, 1, 0x20, 2, 0})
	f.Add([]byte{0, 0x30, 3, 0, 6, 0, 6, 1, 7, 0, 0, 0x10, 8, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newModel(t)
		for ; len(ops) > 1; ops = ops[2:] {
			m.step(ops[0], ops[1])
			m.check()
		}
	})
}
