package scsi

// allows tells whether the reservations at the unit let a command through. It is asked
// only while reserved is set.
func (u *Unit) allows(c *Command) bool { return true }
