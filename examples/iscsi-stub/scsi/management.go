package scsi

import "sync/atomic"

// AbortTaskSet aborts the nexus's tasks at a unit (SAM-5, 7.3), and calls done when they
// are over. It returns false, and calls nothing, if the LUN names no unit.
func (n *Nexus) AbortTaskSet(lun [8]byte, done func()) bool {
	p := n.at(lun)
	if p == nil {
		return false
	}
	p.abort(done)
	return true
}

// ClearTaskSet is AbortTaskSet: with a task set for each nexus (TST is 001b), others have
// no task in it (SAM-5, 7.5).
func (n *Nexus) ClearTaskSet(lun [8]byte, done func()) bool { return n.AbortTaskSet(lun, done) }

// LogicalUnitReset aborts everybody's tasks at a unit, resets it (SAM-5, 6.3.3), tells every
// nexus, its own too, by a unit attention, and then calls done. It returns false, and calls nothing, if
// the LUN names no unit.
func (n *Nexus) LogicalUnitReset(lun [8]byte, done func()) bool {
	p := n.at(lun)
	if p == nil {
		return false
	}
	p.unit.reset(done)
	return true
}

// ResetTarget resets every unit of the device, as a target warm reset asks (RFC 7143,
// section 11.5.1), and then calls done.
func (n *Nexus) ResetTarget(done func()) { n.device.Reset(done) }

// Reset resets every unit of the device, and then calls done.
func (d *Device) Reset(done func()) {
	units := d.Units()
	end := countdown(len(units), done)
	for _, u := range units {
		u.reset(end)
	}
}

// reset is a logical unit reset.
func (u *Unit) reset(done func()) {
	u.mu.Lock()
	paths := make([]*path, 0, len(u.paths))
	for _, p := range u.paths {
		paths = append(paths, p)
	}
	u.mu.Unlock()
	end := countdown(len(paths), func() {
		u.forget()
		u.tellOthers(nil, BusDeviceReset)
		done()
	})
	for _, p := range paths {
		p.abort(end)
	}
}

// abort aborts the tasks of a nexus at a unit.
func (p *path) abort(done func()) {
	if p.nexus.aborter == nil {
		done()
		return
	}
	p.nexus.aborter.AbortTasks(p.unit, done)
}

// countdown returns a function whose n-th call calls done; done is called at once if n is 0.
func countdown(n int, done func()) func() {
	if n == 0 {
		done()
		return done
	}
	var left atomic.Int64
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
}
