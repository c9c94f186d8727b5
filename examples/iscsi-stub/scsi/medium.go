package scsi

import "sync"

// medium is whether a unit's medium is there, and who keeps it there.
type medium struct {
	mu       sync.Mutex
	ejected  bool
	prevents map[*path]struct{} // by PREVENT ALLOW MEDIUM REMOVAL

	// What a sanitize does to it.
	sanitize *sanitize       // that goes on
	failed   *storedSanitize // that did not get to its end
	erasing  *Sense          // why it keeps the medium from being used
	closed   bool
}

// removing: START STOP UNIT (SBC-3, 5.22) and PREVENT ALLOW MEDIUM REMOVAL (SBC-3, 5.12).
var removing = []row{
	{
		op: 0x1B, action: none, name: "START STOP UNIT", usage: "1B 01 00 0F F7 00",
		does: actsOnReservations, check: checkStartStop, run: runStartStop,
	},
	{
		op: 0x1E, action: none, name: "PREVENT ALLOW MEDIUM REMOVAL", usage: "1E 00 00 00 03 00",
		does: actsOnReservations | underReserve, check: checkPreventAllow,
	},
}

// The fields of START STOP UNIT's byte 4.
const (
	unitStart   = 0x01
	unitLoEj    = 0x02
	unitNoFlush = 0x04
)

// checkStartStop refuses a stop under another's reservation; a start is anybody's.
func checkStartStop(c *Command) {
	power, flags := c.CDB[4]>>4, c.CDB[4]
	starts := power == 0 && flags&unitStart != 0
	if !starts && c.unit.reserved.Load() && !c.allowedBy(0) {
		c.Status = ReservationConflict
		return
	}
	c.unit.medium.mu.Lock()
	erasing := c.unit.medium.erasing
	c.unit.medium.mu.Unlock()
	switch {
	case erasing != nil:
		c.check(*erasing)
	case power == 0 && flags&unitLoEj != 0 && !c.unit.volume.Profile().Removable:
		c.badField(4, 1)
	}
}

// runStartStop loads or ejects. There is nothing else to start or stop: without a motor the
// unit is always active, and other power conditions change nothing. What is stopped or
// ejected is stable first.
func runStartStop(c *Command, w Wait) bool {
	power, flags := c.CDB[4]>>4, c.CDB[4]
	stops := power == 0 && flags&unitStart == 0
	if stops && flags&unitNoFlush == 0 {
		if err := c.unit.volume.Sync(w); err != nil {
			return c.finish(err)
		}
	}
	if power == 0 && flags&unitLoEj != 0 && !c.unit.moveMedium(stops, c.nexus) {
		c.fail(IllegalRequest, MediumRemovalPrevented)
	}
	return true
}

// moveMedium ejects or loads the medium, unless that is prevented. A load is news to others.
func (u *Unit) moveMedium(eject bool, by *Nexus) bool {
	u.medium.mu.Lock()
	if u.medium.ejected == eject {
		u.medium.mu.Unlock()
		return true
	}
	if len(u.medium.prevents) > 0 {
		u.medium.mu.Unlock()
		return false
	}
	u.medium.ejected = eject
	u.noteMedium()
	u.medium.mu.Unlock()
	if !eject {
		u.tellOthers(by, MediumMayHaveChanged)
	}
	return true
}

// noteMedium sets what tells Start that the medium cannot be used; medium.mu is held.
func (u *Unit) noteMedium() {
	switch {
	case u.medium.ejected:
		u.unready.Store(&Sense{Key: NotReady, Code: MediumNotPresent})
	default:
		u.unready.Store(u.medium.erasing)
	}
}

// checkPreventAllow refuses to prevent under another's reservation; to allow is anybody's.
func checkPreventAllow(c *Command) {
	prevent := c.CDB[4]
	if prevent == 0 {
		c.unit.allowRemoval(c.path)
		return
	}
	by := c.unit.reserving.classic.Load()
	switch {
	case by != nil && by != c.path, !c.allowedBy(0):
		c.Status = ReservationConflict
	case prevent > 1:
		c.badField(4, 1)
	default:
		c.unit.medium.mu.Lock()
		defer c.unit.medium.mu.Unlock()
		if c.unit.medium.prevents == nil {
			c.unit.medium.prevents = make(map[*path]struct{})
		}
		c.unit.medium.prevents[c.path] = struct{}{}
	}
}

// allowRemoval ends what a nexus prevents, or if p is nil, what anybody does.
func (u *Unit) allowRemoval(p *path) {
	u.medium.mu.Lock()
	defer u.medium.mu.Unlock()
	if p == nil {
		clear(u.medium.prevents)
	} else {
		delete(u.medium.prevents, p)
	}
}
