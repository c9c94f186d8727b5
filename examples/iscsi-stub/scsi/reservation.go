package scsi

import (
	"errors"
	"slices"
)

// A portPair names an I_T nexus by its two ends: the initiator port's name and the relative
// target port identifier. A registration belongs to it, and so outlives the session (SPC-4,
// 5.12.6).
type portPair struct {
	initiator string
	target    uint16
}

// reservationType is the TYPE of a persistent reservation (SPC-4, table 63).
type reservationType uint8

const (
	noReservation              reservationType = 0
	writeExclusive             reservationType = 1
	exclusiveAccess            reservationType = 3
	writeExclusiveRegistrants  reservationType = 5
	exclusiveAccessRegistrants reservationType = 6
	writeExclusiveAll          reservationType = 7
	exclusiveAccessAll         reservationType = 8
)

func (t reservationType) valid() bool {
	return t == writeExclusive || t == exclusiveAccess || t >= writeExclusiveRegistrants && t <= exclusiveAccessAll
}

// allRegistrants says that whoever is registered holds the reservation.
func (t reservationType) allRegistrants() bool { return t >= writeExclusiveAll }

// registrants says that whoever is registered may use the medium.
func (t reservationType) registrants() bool { return t >= writeExclusiveRegistrants }

// exclusive says that others may not even read.
func (t reservationType) exclusive() bool {
	return t == exclusiveAccess || t == exclusiveAccessRegistrants || t == exclusiveAccessAll
}

// registration is an I_T nexus's reservation key.
type registration struct {
	nexus portPair
	key   uint64
}

// maxRegistrations bounds what one unit keeps; a REGISTER beyond it is answered INSUFFICIENT
// REGISTRATION RESOURCES.
const maxRegistrations = 256

// errConflict is RESERVATION CONFLICT, the status.
var errConflict = errors.New("scsi: reservation conflict")

// reservations is the state of a unit's persistent reservations (SPC-4, 5.12) as a value:
// a service action makes a new one out of the old and says whom to tell, so that the new
// one can be stored before anybody sees it, and a reader needs no lock.
type reservations struct {
	generation uint32
	registered []registration // in order of registration, no nexus twice; never changed in place
	kind       reservationType
	holder     portPair // of a reservation that is not of all registrants
	aptpl      bool     // it survives a loss of power
}

// news is what a service action brings to other nexuses: unit attentions, and for PREEMPT
// AND ABORT whose commands end.
type news struct {
	attention []attention
	preempted []portPair
}

// attention is a unit attention condition for a nexus.
type attention struct {
	nexus portPair
	code  Code
}

// key returns the nexus's reservation key, if it is registered.
func (r *reservations) key(n portPair) (uint64, bool) {
	i := slices.IndexFunc(r.registered, func(g registration) bool { return g.nexus == n })
	if i < 0 {
		return 0, false
	}
	return r.registered[i].key, true
}

// holds says whether the nexus is a persistent reservation holder (SPC-4, 5.12.10).
func (r *reservations) holds(n portPair) bool {
	if r.kind.allRegistrants() {
		_, registered := r.key(n)
		return registered
	}
	return r.kind != noReservation && r.holder == n
}

// mayUse says whether the nexus is restricted by the reservation at all.
func (r *reservations) mayUse(n portPair) bool {
	if r.kind == noReservation || r.holds(n) {
		return true
	}
	_, registered := r.key(n)
	return registered && r.kind.registrants()
}

// holderKey is the key that PREEMPT names the reservation by: none for all registrants.
func (r *reservations) holderKey() uint64 {
	if r.kind == noReservation || r.kind.allRegistrants() {
		return 0
	}
	key, _ := r.key(r.holder)
	return key
}

// checked is what every service action but REGISTER begins with: the nexus is registered
// with the key it shows (SPC-4, 5.12.7).
func (r *reservations) checked(n portPair, key uint64) error {
	if have, registered := r.key(n); !registered || have != key {
		return errConflict
	}
	return nil
}

// registering is a REGISTER or REGISTER AND IGNORE EXISTING KEY.
type registering struct {
	key, newKey uint64
	ignore      bool       // whatever key there was
	aptpl       bool       // ACTIVATE PERSIST THROUGH POWER LOSS
	also        []portPair // those whom ALL_TG_PT and SPEC_I_PT name
	spec        bool       // SPEC_I_PT
}

// register adds, changes or removes a registration (SPC-4, tables 60 and 61).
func (r reservations) register(n portPair, q registering) (reservations, news, error) {
	have, registered := r.key(n)
	switch {
	case registered && q.spec:
		return r, news{}, Sense{Key: IllegalRequest, Code: InvalidFieldInCDB}
	case q.ignore:
	case registered && have != q.key, !registered && q.key != 0:
		return r, news{}, errConflict
	}
	for _, other := range q.also {
		if _, there := r.key(other); there && q.spec {
			return r, news{}, errConflict // a nexus in the list is registered already
		}
	}
	var told news
	for _, nexus := range append([]portPair{n}, q.also...) {
		if q.newKey == 0 {
			told.attention = append(told.attention, r.unregister(nexus)...)
		} else {
			r.set(nexus, q.newKey)
		}
	}
	if len(r.registered) > maxRegistrations {
		return r, news{}, Sense{Key: IllegalRequest, Code: InsufficientRegistrationResources}
	}
	r.aptpl = q.aptpl
	r.generation++
	return r, told, nil
}

// set registers a nexus with a key, in place of one it may have.
func (r *reservations) set(n portPair, key uint64) {
	r.registered = slices.Clone(r.registered)
	for i := range r.registered {
		if r.registered[i].nexus == n {
			r.registered[i].key = key
			return
		}
	}
	r.registered = append(r.registered, registration{n, key})
}

// unregister removes a registration, and with the holder's the reservation (SPC-4, 5.12.11.2.3).
func (r *reservations) unregister(n portPair) []attention {
	held := r.kind != noReservation && !r.kind.allRegistrants() && r.holder == n
	r.drop(func(g registration) bool { return g.nexus == n })
	if !held {
		return nil
	}
	return r.free(n)
}

// drop removes the registrations that match; the last one takes a reservation of all
// registrants with it.
func (r *reservations) drop(match func(registration) bool) (dropped []registration) {
	var stay []registration
	for _, g := range r.registered {
		if match(g) {
			dropped = append(dropped, g)
		} else {
			stay = append(stay, g)
		}
	}
	r.registered = stay
	if len(stay) == 0 && r.kind.allRegistrants() {
		r.kind = noReservation
	}
	return dropped
}

// free ends the reservation. Registrants that shared it are told, n is not.
func (r *reservations) free(n portPair) (told []attention) {
	if r.kind.registrants() {
		told = r.tell(n, ReservationsReleased)
	}
	r.kind, r.holder = noReservation, portPair{}
	return told
}

// tell makes a unit attention for every registered nexus but n.
func (r *reservations) tell(n portPair, code Code) (told []attention) {
	for _, g := range r.registered {
		if g.nexus != n {
			told = append(told, attention{g.nexus, code})
		}
	}
	return told
}

// reserve makes a reservation (SPC-4, 5.12.9).
func (r reservations) reserve(n portPair, key uint64, kind reservationType) (reservations, news, error) {
	if err := r.checked(n, key); err != nil {
		return r, news{}, err
	}
	if r.kind != noReservation {
		if !r.holds(n) || r.kind != kind {
			return r, news{}, errConflict
		}
		return r, news{}, nil
	}
	r.take(n, kind)
	return r, news{}, nil
}

func (r *reservations) take(n portPair, kind reservationType) {
	r.kind, r.holder = kind, portPair{}
	if !kind.allRegistrants() {
		r.holder = n
	}
}

// release ends the nexus's reservation (SPC-4, 5.12.11.2.2).
func (r reservations) release(n portPair, key uint64, kind reservationType) (reservations, news, error) {
	if err := r.checked(n, key); err != nil {
		return r, news{}, err
	}
	if !r.holds(n) {
		return r, news{}, nil
	}
	if r.kind != kind {
		return r, news{}, Sense{Key: IllegalRequest, Code: InvalidReleaseOfReservation}
	}
	told := r.free(n)
	return r, news{attention: told}, nil
}

// clear ends the reservation and every registration (SPC-4, 5.12.11.2.6).
func (r reservations) clear(n portPair, key uint64) (reservations, news, error) {
	if err := r.checked(n, key); err != nil {
		return r, news{}, err
	}
	told := r.tell(n, ReservationsPreempted)
	r.registered, r.kind, r.holder = nil, noReservation, portPair{}
	r.generation++
	return r, news{attention: told}, nil
}

// preempt removes the registrations of a key, and takes over the reservation if it is that
// key's (SPC-4, 5.12.11.2.4).
func (r reservations) preempt(n portPair, key, victim uint64, kind reservationType) (reservations, news, error) {
	if err := r.checked(n, key); err != nil {
		return r, news{}, err
	}
	shared := r.kind.allRegistrants()
	if victim == 0 && !shared {
		return r, news{}, Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList}
	}
	takes := shared && victim == 0 || !shared && r.kind != noReservation && victim == r.holderKey()
	dropped := r.drop(func(g registration) bool {
		if takes && g.nexus == n {
			return false // who takes the reservation over stays registered
		}
		return victim == 0 || g.key == victim
	})
	if len(dropped) == 0 && !takes {
		return r, news{}, errConflict
	}
	var told news
	for _, g := range dropped {
		told.preempted = append(told.preempted, g.nexus)
		if g.nexus != n {
			told.attention = append(told.attention, attention{g.nexus, RegistrationsPreempted})
		}
	}
	if takes {
		if r.kind != kind {
			told.attention = append(told.attention, r.tell(n, ReservationsReleased)...)
		}
		r.take(n, kind)
	}
	r.generation++
	return r, told, nil
}

// moving is a REGISTER AND MOVE.
type moving struct {
	key, newKey uint64
	to          portPair
	unregister  bool
	aptpl       bool
}

// move registers another nexus and makes it the holder (SPC-4, 5.12.8).
func (r reservations) move(n portPair, q moving) (reservations, news, error) {
	if err := r.checked(n, q.key); err != nil {
		return r, news{}, err
	}
	if r.kind.allRegistrants() || !r.holds(n) {
		return r, news{}, errConflict
	}
	if q.newKey == 0 || q.to == n {
		return r, news{}, Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList}
	}
	r.set(q.to, q.newKey)
	r.holder = q.to
	if q.unregister {
		r.drop(func(g registration) bool { return g.nexus == n })
	}
	if len(r.registered) > maxRegistrations {
		return r, news{}, Sense{Key: IllegalRequest, Code: InsufficientRegistrationResources}
	}
	r.aptpl = q.aptpl
	r.generation++
	return r, news{}, nil
}

// storedReservations is what survives a loss of power. The generation does not (SPC-4, 6.15.2).
type storedReservations struct {
	Type       reservationType      `json:"type,omitempty"`
	Holder     storedRegistration   `json:"holder"`
	Registered []storedRegistration `json:"registered"`
}

type storedRegistration struct {
	Initiator string `json:"initiator"`
	Target    uint16 `json:"target"`
	Key       uint64 `json:"key,omitempty"`
}

// stored is what is to be kept of the state: nothing, unless it is to survive.
func (r *reservations) stored() *storedReservations {
	if !r.aptpl {
		return nil
	}
	s := &storedReservations{Type: r.kind, Holder: storedRegistration{Initiator: r.holder.initiator, Target: r.holder.target}}
	for _, g := range r.registered {
		s.Registered = append(s.Registered, storedRegistration{g.nexus.initiator, g.nexus.target, g.key})
	}
	return s
}

// restored is the state after a loss of power.
func (s *storedReservations) restored() (reservations, error) {
	if s == nil {
		return reservations{}, nil
	}
	r := reservations{kind: s.Type, holder: portPair{s.Holder.Initiator, s.Holder.Target}, aptpl: true}
	for _, g := range s.Registered {
		r.registered = append(r.registered, registration{portPair{g.Initiator, g.Target}, g.Key})
	}
	_, held := r.key(r.holder)
	if r.kind != noReservation && (!r.kind.valid() || !held && !r.kind.allRegistrants()) {
		return reservations{}, errStoredReservations
	}
	return r, nil
}

// errStoredReservations says that what was stored makes no sense.
var errStoredReservations = errors.New("a persistent reservation of no type, or without its holder")
