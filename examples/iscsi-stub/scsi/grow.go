package scsi

// Grow gives the unit's volume more blocks, and tells every initiator that its capacity has
// changed. It waits for what goes on at the volume.
func (u *Unit) Grow(blocks uint64) error {
	if err := u.volume.Grow(blocks); err != nil {
		return err
	}
	u.tellOthers(nil, CapacityDataChanged)
	return nil
}
