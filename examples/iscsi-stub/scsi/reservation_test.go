package scsi

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

// Four I_T nexuses: two initiator ports, each over two target ports.
var (
	a1 = portPair{"iqn.2026-11.com.example:a,i,0x000000000001", 1}
	a2 = portPair{"iqn.2026-11.com.example:a,i,0x000000000001", 2}
	b1 = portPair{"iqn.2026-11.com.example:b,i,0x000000000002", 1}
	b2 = portPair{"iqn.2026-11.com.example:b,i,0x000000000002", 2}
)

// steps leads a unit's reservations from one service action to the next.
type steps struct {
	t     *testing.T
	state reservations
	told  news
}

func (s *steps) do(next reservations, told news, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.state, s.told = next, told
}

func (s *steps) refused(want error) func(reservations, news, error) {
	return func(_ reservations, told news, err error) {
		s.t.Helper()
		if sense, ok := errors.AsType[Sense](err); ok {
			sense.Specific = [3]byte{}
			err = sense
		}
		if err != want { //nolint:errorlint // the very value: Sense compares by it
			s.t.Fatalf("%v, want %v", err, want)
		}
		if told.attention != nil || told.preempted != nil {
			s.t.Fatalf("what was refused told %v", told)
		}
	}
}

func (s *steps) attentions(want ...attention) {
	s.t.Helper()
	if !slices.Equal(s.told.attention, want) {
		s.t.Fatalf("unit attentions %v, want %v", s.told.attention, want)
	}
}

func (s *steps) register(n portPair, key uint64) {
	s.t.Helper()
	s.do(s.state.register(n, registering{newKey: key, ignore: true}))
}

// registered is a unit at which a1, b1 and b2 are registered with the keys 1, 2 and 3.
func registered(t *testing.T) *steps {
	s := &steps{t: t}
	s.register(a1, 1)
	s.register(b1, 2)
	s.register(b2, 3)
	return s
}

func TestRegister(t *testing.T) {
	s := &steps{t: t}
	s.refused(errConflict)(s.state.register(a1, registering{key: 7, newKey: 1}))
	s.do(s.state.register(a1, registering{newKey: 1}))
	s.refused(errConflict)(s.state.register(a1, registering{newKey: 2}))
	s.refused(errConflict)(s.state.register(a1, registering{key: 2, newKey: 3}))
	s.do(s.state.register(a1, registering{key: 1, newKey: 4}))
	if key, ok := s.state.key(a1); !ok || key != 4 {
		t.Fatal("key", key, ok)
	}
	if _, ok := s.state.key(a2); ok {
		t.Fatal("a registration at one target port is one at another")
	}
	s.do(s.state.register(a1, registering{key: 4}))
	if len(s.state.registered) != 0 || s.state.generation != 3 {
		t.Fatalf("%+v", s.state)
	}
}

func TestRegisterForOthers(t *testing.T) {
	s := &steps{t: t}
	s.do(s.state.register(a1, registering{newKey: 1, spec: true, also: []portPair{b1, b2}}))
	if len(s.state.registered) != 3 || s.state.generation != 1 {
		t.Fatalf("%+v", s.state)
	}
	s.refused(errConflict)(s.state.register(a2, registering{newKey: 1, spec: true, also: []portPair{b1}}))
	s.refused(Sense{Key: IllegalRequest, Code: InvalidFieldInCDB})(
		s.state.register(a1, registering{key: 1, newKey: 1, spec: true, also: []portPair{a2}}))
}

func TestRegisterTooMany(t *testing.T) {
	s := &steps{t: t}
	for i := range maxRegistrations {
		s.register(portPair{"p", uint16(i)}, 1)
	}
	s.refused(Sense{Key: IllegalRequest, Code: InsufficientRegistrationResources})(
		s.state.register(a1, registering{newKey: 1}))
	s.register(portPair{"p", 0}, 2) // a change needs no room
}

// What an unregistered, and a registered nexus that does not hold the reservation, may do.
func TestMayUse(t *testing.T) {
	for _, kind := range []reservationType{
		writeExclusive, exclusiveAccess, writeExclusiveRegistrants,
		exclusiveAccessRegistrants, writeExclusiveAll, exclusiveAccessAll,
	} {
		s := registered(t)
		s.do(s.state.reserve(a1, 1, kind))
		if !s.state.mayUse(a1) || s.state.mayUse(a2) {
			t.Error(kind, "the holder, and a stranger")
		}
		if got := s.state.mayUse(b1); got != (kind >= writeExclusiveRegistrants) {
			t.Error(kind, "a registrant may use it:", got)
		}
		if got := s.state.holds(b1); got != (kind >= writeExclusiveAll) {
			t.Error(kind, "a registrant holds it:", got)
		}
	}
}

func TestReserve(t *testing.T) {
	s := registered(t)
	s.refused(errConflict)(s.state.reserve(a1, 9, writeExclusive))
	s.refused(errConflict)(s.state.reserve(a2, 1, writeExclusive))
	s.do(s.state.reserve(a1, 1, writeExclusive))
	s.do(s.state.reserve(a1, 1, writeExclusive))
	s.refused(errConflict)(s.state.reserve(a1, 1, exclusiveAccess))
	s.refused(errConflict)(s.state.reserve(b1, 2, writeExclusive))
	if s.state.generation != 3 {
		t.Error("a RESERVE counts in PRGENERATION")
	}
}

func TestRelease(t *testing.T) {
	for kind, want := range map[reservationType][]attention{
		writeExclusive:            nil,
		exclusiveAccess:           nil,
		writeExclusiveRegistrants: {{b1, ReservationsReleased}, {b2, ReservationsReleased}},
		exclusiveAccessAll:        {{b1, ReservationsReleased}, {b2, ReservationsReleased}},
	} {
		s := registered(t)
		s.do(s.state.release(a1, 1, kind)) // nothing to release is no error
		s.do(s.state.reserve(a1, 1, kind))
		s.refused(errConflict)(s.state.release(a1, 5, kind))
		s.refused(Sense{Key: IllegalRequest, Code: InvalidReleaseOfReservation})(s.state.release(a1, 1, kind%8+1))
		if !kind.allRegistrants() {
			s.do(s.state.release(b1, 2, kind)) // another's is none of its business
			s.attentions()
			if s.state.kind != kind {
				t.Fatal("another released it")
			}
		}
		s.do(s.state.release(a1, 1, kind))
		s.attentions(want...)
		if s.state.kind != noReservation {
			t.Fatal("it was not released")
		}
	}
}

func TestUnregisterTheHolder(t *testing.T) {
	for kind, want := range map[reservationType][]attention{
		writeExclusive:             nil,
		exclusiveAccessRegistrants: {{b1, ReservationsReleased}, {b2, ReservationsReleased}},
	} {
		s := registered(t)
		s.do(s.state.reserve(a1, 1, kind))
		s.do(s.state.register(a1, registering{key: 1}))
		s.attentions(want...)
		if s.state.kind != noReservation {
			t.Error(kind, "outlives its holder")
		}
	}
}

func TestAllRegistrantsHoldToTheLast(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(a1, 1, writeExclusiveAll))
	s.register(a1, 0)
	s.register(b1, 0)
	s.attentions()
	if s.state.kind != writeExclusiveAll {
		t.Fatal("released with registrants left")
	}
	s.register(b2, 0)
	if s.state.kind != noReservation {
		t.Fatal("nobody is left to release it")
	}
}

func TestClear(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(a1, 1, exclusiveAccess))
	s.refused(errConflict)(s.state.clear(a2, 1))
	s.do(s.state.clear(b1, 2))
	s.attentions(attention{a1, ReservationsPreempted}, attention{b2, ReservationsPreempted})
	if !reflect.DeepEqual(s.state, reservations{generation: 4}) {
		t.Fatalf("%+v", s.state)
	}
}

func TestPreemptRegistrations(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(a1, 1, writeExclusive))
	s.refused(errConflict)(s.state.preempt(b1, 2, 9, exclusiveAccess))
	s.refused(Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList})(s.state.preempt(b1, 2, 0, exclusiveAccess))
	s.do(s.state.preempt(b1, 2, 3, exclusiveAccess))
	s.attentions(attention{b2, RegistrationsPreempted})
	if s.state.kind != writeExclusive || s.state.holder != a1 || s.state.generation != 4 {
		t.Fatalf("%+v", s.state)
	}
}

func TestPreemptTheReservation(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(a1, 1, exclusiveAccess))
	s.do(s.state.preempt(b1, 2, 1, writeExclusiveRegistrants))
	s.attentions(attention{a1, RegistrationsPreempted}, attention{b2, ReservationsReleased})
	if s.state.kind != writeExclusiveRegistrants || s.state.holder != b1 || len(s.state.registered) != 2 {
		t.Fatalf("%+v", s.state)
	}
	if !slices.Equal(s.told.preempted, []portPair{a1}) {
		t.Fatal("preempted", s.told.preempted)
	}
}

// The holder preempts itself to change the type, and shares its key with another.
func TestPreemptOneself(t *testing.T) {
	s := registered(t)
	s.register(b2, 1)
	s.do(s.state.reserve(a1, 1, exclusiveAccess))
	s.do(s.state.preempt(a1, 1, 1, exclusiveAccess))
	s.attentions(attention{b2, RegistrationsPreempted})
	if !s.state.holds(a1) || len(s.state.registered) != 2 {
		t.Fatalf("%+v", s.state)
	}
}

func TestPreemptAllRegistrants(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(a1, 1, exclusiveAccessAll))
	s.do(s.state.preempt(b1, 2, 3, writeExclusive))
	s.attentions(attention{b2, RegistrationsPreempted})
	if s.state.kind != exclusiveAccessAll {
		t.Fatal("a key that is not zero leaves the reservation")
	}
	s.do(s.state.preempt(b1, 2, 0, writeExclusive))
	s.attentions(attention{a1, RegistrationsPreempted})
	if s.state.kind != writeExclusive || s.state.holder != b1 || len(s.state.registered) != 1 {
		t.Fatalf("%+v", s.state)
	}
}

func TestMove(t *testing.T) {
	s := registered(t)
	s.refused(errConflict)(s.state.move(a1, moving{key: 1, newKey: 5, to: a2}))
	s.do(s.state.reserve(a1, 1, exclusiveAccess))
	s.refused(errConflict)(s.state.move(b1, moving{key: 2, newKey: 5, to: a2}))
	s.refused(Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList})(s.state.move(a1, moving{key: 1, to: a2}))
	s.refused(Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList})(s.state.move(a1, moving{key: 1, newKey: 5, to: a1}))
	s.do(s.state.move(a1, moving{key: 1, newKey: 5, to: a2, unregister: true}))
	s.attentions()
	if _, there := s.state.key(a1); there || !s.state.holds(a2) || s.state.kind != exclusiveAccess {
		t.Fatalf("%+v", s.state)
	}
	s.do(s.state.release(a2, 5, exclusiveAccess))
	s.do(s.state.reserve(a2, 5, writeExclusiveAll))
	s.refused(errConflict)(s.state.move(a2, moving{key: 5, newKey: 5, to: a1}))
}

func TestReservationsStored(t *testing.T) {
	s := registered(t)
	s.do(s.state.reserve(b1, 2, writeExclusiveRegistrants))
	if s.state.stored() != nil {
		t.Fatal("without APTPL it survives")
	}
	s.do(s.state.register(a1, registering{key: 1, newKey: 1, aptpl: true}))
	back, err := s.state.stored().restored()
	want := s.state
	want.generation = 0
	if err != nil || !reflect.DeepEqual(back, want) {
		t.Fatalf("%+v, want %+v, %v", back, want, err)
	}
	damaged := s.state.stored()
	damaged.Type = 2
	if _, err := damaged.restored(); !errors.Is(err, errStoredReservations) {
		t.Fatal(err)
	}
}

// FuzzReservations compares with a model that is as simple as the standard's words.
func FuzzReservations(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 1, 3, 1, 4, 2, 1, 0, 3, 1, 3})
	f.Add([]byte{0, 0, 1, 0, 1, 0, 1, 0, 2, 0, 2, 0, 0, 1, 1, 8, 1, 4, 1, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		nexuses := []portPair{a1, a2, b1, b2}
		kinds := []reservationType{1, 3, 5, 6, 7, 8}
		var state reservations
		m := model{keys: map[portPair]uint64{}}
		for ; len(script) >= 4; script = script[4:] {
			n, kind := nexuses[script[0]%4], kinds[script[3]%6]
			key, other := uint64(script[2]%4), uint64(script[2]/4%4)
			to := nexuses[script[3]/8%4]
			var told news
			var next reservations
			var err error
			m.told = map[portPair]Code{}
			var ok bool
			switch script[1] % 7 {
			case 0:
				next, told, err = state.register(n, registering{newKey: key, ignore: true})
				ok = m.register(n, key)
			case 1:
				next, told, err = state.register(n, registering{key: key, newKey: other})
				ok = m.keys[n] == key && m.register(n, other)
			case 2:
				next, told, err = state.reserve(n, key, kind)
				ok = m.reserve(n, key, kind)
			case 3:
				next, told, err = state.release(n, key, kind)
				ok = m.release(n, key, kind)
			case 4:
				next, told, err = state.clear(n, key)
				ok = m.clear(n, key)
			case 5:
				next, told, err = state.preempt(n, key, other, kind)
				ok = m.preempt(n, key, other, kind)
			case 6:
				next, told, err = state.move(n, moving{key: key, newKey: other, to: to, unregister: script[3]&1 != 0})
				ok = m.move(n, key, other, to, script[3]&1 != 0)
			}
			if ok != (err == nil) {
				t.Fatalf("% x: %v, the model says %v", script[:4], err, ok)
			}
			if err == nil {
				state = next
				m.compare(t, script, &state, told)
			}
		}
	})
}

// model is persistent reservations, naively.
type model struct {
	keys    map[portPair]uint64
	holders map[portPair]bool // nil without a reservation; everybody registered, for all registrants
	kind    reservationType
	told    map[portPair]Code
}

func (m *model) compare(t *testing.T, script []byte, state *reservations, told news) {
	if len(state.registered) != len(m.keys) || state.kind != m.kind {
		t.Fatalf("% x: %+v, the model has %+v", script[:4], state, m)
	}
	for _, n := range []portPair{a1, a2, b1, b2} {
		if key, _ := state.key(n); key != m.keys[n] || state.holds(n) != m.holders[n] {
			t.Fatalf("% x: %v in %+v, the model has %+v", script[:4], n, state, m)
		}
	}
	got := map[portPair]Code{}
	for _, a := range told.attention {
		got[a.nexus] = a.code
	}
	if !reflect.DeepEqual(got, m.told) || len(got) != len(told.attention) {
		t.Fatalf("% x: unit attentions %v, the model has %v", script[:4], told.attention, m.told)
	}
}

func (m *model) shared() bool { return m.kind == 7 || m.kind == 8 }

// settle is what follows from who is registered now.
func (m *model) settle() {
	if m.shared() {
		m.holders = map[portPair]bool{}
		for n := range m.keys {
			m.holders[n] = true
		}
	}
	if len(m.holders) == 0 {
		m.kind, m.holders = 0, nil
	}
}

func (m *model) end(by portPair) {
	if m.kind >= 5 {
		for n := range m.keys {
			if n != by {
				m.told[n] = ReservationsReleased
			}
		}
	}
	m.kind, m.holders = 0, nil
}

func (m *model) register(n portPair, key uint64) bool {
	if key != 0 {
		m.keys[n] = key
	} else {
		delete(m.keys, n)
		if m.holders[n] && !m.shared() {
			m.end(n)
		}
	}
	m.settle()
	return true
}

func (m *model) knows(n portPair, key uint64) bool { return key != 0 && m.keys[n] == key }

func (m *model) reserve(n portPair, key uint64, kind reservationType) bool {
	if !m.knows(n, key) || m.kind != 0 && (!m.holders[n] || m.kind != kind) {
		return false
	}
	m.kind, m.holders = kind, map[portPair]bool{n: true}
	m.settle()
	return true
}

func (m *model) release(n portPair, key uint64, kind reservationType) bool {
	if !m.knows(n, key) || m.holders[n] && m.kind != kind {
		return false
	}
	if m.holders[n] {
		m.end(n)
	}
	return true
}

func (m *model) clear(n portPair, key uint64) bool {
	if !m.knows(n, key) {
		return false
	}
	for other := range m.keys {
		if other != n {
			m.told[other] = ReservationsPreempted
		}
	}
	m.keys, m.kind, m.holders = map[portPair]uint64{}, 0, nil
	return true
}

func (m *model) preempt(n portPair, key, victim uint64, kind reservationType) bool {
	if !m.knows(n, key) || victim == 0 && !m.shared() {
		return false
	}
	takes := victim == 0
	for holder := range m.holders {
		takes = takes || !m.shared() && m.keys[holder] == victim
	}
	found := takes
	for other, has := range m.keys {
		if takes && other == n || victim != 0 && has != victim {
			continue
		}
		found = true
		delete(m.keys, other)
		if other != n {
			m.told[other] = RegistrationsPreempted
		}
	}
	if takes {
		for other := range m.keys {
			if other != n && m.kind != kind {
				m.told[other] = ReservationsReleased
			}
		}
		m.kind, m.holders = kind, map[portPair]bool{n: true}
	}
	m.settle()
	return found
}

func (m *model) move(n portPair, key, newKey uint64, to portPair, unregister bool) bool {
	if !m.knows(n, key) || m.shared() || !m.holders[n] || newKey == 0 || to == n {
		return false
	}
	m.keys[to] = newKey
	m.holders = map[portPair]bool{to: true}
	if unregister {
		delete(m.keys, n)
	}
	return true
}
