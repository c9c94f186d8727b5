package scsi

import (
	"encoding/json"
	"errors"
	"fmt"
)

// savedState is what the keeper keeps of a unit.
type savedState struct {
	Modes        *modes              `json:"modes,omitempty"`
	Reservations *storedReservations `json:"reservations,omitempty"`
	Sanitize     *storedSanitize     `json:"sanitize,omitempty"`
}

// errNoKeeper: there is nothing to save with.
var errNoKeeper = errors.New("scsi: the unit has no keeper")

// load brings back what was saved.
func (u *Unit) load() error {
	modes := u.defaultModes()
	u.setModes(modes)
	u.savedModes.Store(modes)
	if err := u.restoreReservations(nil); err != nil || u.keeper == nil {
		return err
	}
	b, err := u.keeper.Load(u.Name())
	if err != nil || b == nil {
		return err
	}
	if err := json.Unmarshal(b, &u.saved); err != nil {
		return fmt.Errorf("scsi: the saved state of unit %q: %w", u.Name(), err)
	}
	if u.saved.Modes != nil {
		u.setModes(u.saved.Modes)
		u.savedModes.Store(u.saved.Modes)
	}
	u.restoreSanitize(u.saved.Sanitize)
	if err := u.restoreReservations(u.saved.Reservations); err != nil {
		return fmt.Errorf("scsi: the saved state of unit %q: %w", u.Name(), err)
	}
	return nil
}

// save changes what the keeper keeps; it is durable when save returns nil. It blocks.
func (u *Unit) save(change func(s *savedState)) error {
	if u.keeper == nil {
		return errNoKeeper
	}
	u.saving.Lock()
	defer u.saving.Unlock()
	next := u.saved
	change(&next)
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := u.keeper.Save(u.Name(), b); err != nil {
		return err
	}
	u.saved = next
	return nil
}

// forget is what a reset makes a unit forget: mode pages go back to what was saved, RESERVE
// and PREVENT ALLOW MEDIUM REMOVAL are over. Persistent reservations stay.
func (u *Unit) forget() {
	u.setModes(u.savedModes.Load())
	u.releaseClassic(nil)
	u.allowRemoval(nil)
}
