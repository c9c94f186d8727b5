package scsi

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// reserving is who has reserved a unit, by which kind of reservation. Commands read it
// without a lock.
type reserving struct {
	persistent atomic.Pointer[reservations]
	classic    atomic.Pointer[path] // who holds it by RESERVE(6) or (10), if anybody

	noting sync.Mutex // held while the unit's reserved is set

	// turn is held while the state changes and the keeper saves, and so by goroutines that
	// may block only.
	turn sync.Mutex
}

// pair is the nexus's name in a registration. Names that differ in case are the same name
// (RFC 7143, 4.2.7.1).
func (n *Nexus) pair() portPair { return portPair{strings.ToLower(n.initiator), n.port} }

// allows tells whether the reservations at the unit let a command through. It is asked only
// while reserved is set.
func (u *Unit) allows(c *Command) bool {
	if by := u.reserving.classic.Load(); by != nil && by != c.path {
		return c.row.does&underReserve != 0
	}
	return c.row.does&actsOnReservations != 0 || c.allowedBy(c.row.does)
}

// allowedBy tells whether the persistent reservation lets a command with these traits through.
func (c *Command) allowedBy(does traits) bool {
	r := c.unit.reserving.persistent.Load()
	switch {
	case r.mayUse(c.nexus.pair()):
		return true
	case r.kind.exclusive():
		return does&underExclusiveAccess != 0
	}
	return does&underWriteExclusive != 0
}

// noteReserved sets what tells Start to look at the reservations at all. The last to look is
// the last to set.
func (u *Unit) noteReserved() {
	u.reserving.noting.Lock()
	defer u.reserving.noting.Unlock()
	u.reserved.Store(u.reserving.classic.Load() != nil || u.reserving.persistent.Load().kind != noReservation)
}

// restoreReservations begins with what survived.
func (u *Unit) restoreReservations(s *storedReservations) error {
	r, err := s.restored()
	u.reserving.persistent.Store(&r)
	u.noteReserved()
	return err
}

// changeReservations does a service action: nobody sees the new state before it is stored,
// if it is to survive. It blocks.
func (u *Unit) changeReservations(action func(reservations) (reservations, news, error)) (news, error) {
	u.reserving.turn.Lock()
	defer u.reserving.turn.Unlock()
	old := u.reserving.persistent.Load()
	next, told, err := action(*old)
	if err != nil {
		return news{}, err
	}
	if next.aptpl || old.aptpl {
		if err := u.save(func(s *savedState) { s.Reservations = next.stored() }); err != nil {
			return news{}, err
		}
	}
	u.reserving.persistent.Store(&next)
	u.noteReserved()
	for _, a := range told.attention {
		for _, p := range u.pathsOf(a.nexus) {
			p.establish(a.code)
		}
	}
	return told, nil
}

// pathsOf is the ways to the unit of an I_T nexus: one, if it is there now.
func (u *Unit) pathsOf(n portPair) []*path {
	u.mu.Lock()
	defer u.mu.Unlock()
	var found []*path
	for nexus, p := range u.paths {
		if nexus.pair() == n {
			found = append(found, p)
		}
	}
	return found
}

// classicReserving: RESERVE and RELEASE as SPC-2 has them, for the whole unit and no third
// party. Beside persistent reservations they are what SPC-4, 5.12.3 leaves of them.
var classicReserving = []row{
	{
		op: 0x16, action: none, name: "RESERVE(6)", usage: "16 00 00 00 00 00",
		does: actsOnReservations, check: checkReserve,
	},
	{
		op: 0x17, action: none, name: "RELEASE(6)", usage: "17 00 00 00 00 00",
		does: actsOnReservations | underReserve, check: checkRelease,
	},
	{
		op: 0x56, action: none, name: "RESERVE(10)", usage: "56 00 00 00 00 00 00 00 00 00",
		does: actsOnReservations, check: checkReserve,
	},
	{
		op: 0x57, action: none, name: "RELEASE(10)", usage: "57 00 00 00 00 00 00 00 00 00",
		does: actsOnReservations | underReserve, check: checkRelease,
	},
}

// persistently ends a classic command where there are registrations: GOOD, and nothing
// done, for whoever may use the unit by them; a conflict for all others.
func (c *Command) persistently() bool {
	r := c.unit.reserving.persistent.Load()
	if len(r.registered) == 0 {
		return false
	}
	if r.kind == noReservation || !r.mayUse(c.nexus.pair()) {
		c.Status = ReservationConflict
	}
	return true
}

func checkReserve(c *Command) {
	held := &c.unit.reserving.classic
	if c.persistently() {
		return
	}
	if !held.CompareAndSwap(nil, c.path) && held.Load() != c.path {
		c.Status = ReservationConflict
	}
	c.unit.noteReserved()
}

// checkRelease releases what the nexus holds; what another holds is none of its business.
func checkRelease(c *Command) {
	if !c.persistently() {
		c.unit.releaseClassic(c.path)
	}
}

// releaseClassic ends a RESERVE; of whomever, if p is nil.
func (u *Unit) releaseClassic(p *path) {
	held := &u.reserving.classic
	if p == nil {
		held.Store(nil)
	} else {
		held.CompareAndSwap(p, nil)
	}
	u.noteReserved()
}

// otherPaths leaves out the ways of a nexus.
func otherPaths(paths []*path, n *Nexus) []*path {
	return slices.DeleteFunc(paths, func(p *path) bool { return p.nexus == n })
}
