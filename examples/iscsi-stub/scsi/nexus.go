package scsi

import (
	"sync"
	"sync/atomic"
)

// Aborter aborts a nexus's tasks at a logical unit: it is the transport. AbortTasks calls
// done, once, when none of them can touch the medium any more. Any goroutine may call it,
// and it must not block.
type Aborter interface {
	AbortTasks(u *Unit, done func())
}

// NexusConfig says who is at the two ends of a nexus.
type NexusConfig struct {
	InitiatorPort string // for iSCSI the initiator's name, ",i,0x" and its ISID (RFC 7143, 4.2.7)
	TargetPort    uint16 // the relative target port identifier
	Aborter       Aborter
}

// Nexus is an I_T nexus: an initiator port and a target port that know each other. Any
// goroutine may call its methods.
type Nexus struct {
	device    *Device
	initiator string
	port      uint16
	aborter   Aborter
	paths     atomic.Pointer[map[uint16]*path]
}

// path is what there is between a nexus and a logical unit: an I_T_L nexus.
type path struct {
	nexus *Nexus
	unit  *Unit

	pending    atomic.Bool // whether attentions has any
	mu         sync.Mutex
	attentions []Code // the oldest first

	copies copies
}

// Connect makes a nexus: an initiator has logged in.
func (d *Device) Connect(config NexusConfig) *Nexus {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &Nexus{device: d, initiator: config.InitiatorPort, port: config.TargetPort, aborter: config.Aborter}
	n.paths.Store(&map[uint16]*path{})
	n.findPaths()
	d.nexuses[n] = struct{}{}
	return n
}

// Close ends the nexus: the initiator has gone, however it went. Its tasks are over by then.
func (n *Nexus) Close() {
	d := n.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, open := d.nexuses[n]; !open {
		return
	}
	delete(d.nexuses, n)
	for _, p := range *n.paths.Swap(&map[uint16]*path{}) {
		p.unit.lost(p)
	}
}

// Device is what the nexus leads to.
func (n *Nexus) Device() *Device { return n.device }

// at is the way to the unit that a LUN names, or nil.
func (n *Nexus) at(lun [8]byte) *path {
	number, ok := lunOf(lun)
	if !ok {
		return nil
	}
	return (*n.paths.Load())[number]
}

// findPaths makes the ways to the units that the device has now; device.mu is held.
func (n *Nexus) findPaths() {
	old := *n.paths.Load()
	paths := make(map[uint16]*path, len(n.device.units))
	for lun, u := range n.device.units {
		p := old[lun]
		if p == nil || p.unit != u {
			p = u.meet(n)
		}
		paths[lun] = p
	}
	n.paths.Store(&paths)
	for lun, p := range old {
		if paths[lun] != p {
			p.unit.lost(p)
		}
	}
}

// meet makes the way from a nexus to the unit.
func (u *Unit) meet(n *Nexus) *path {
	p := &path{nexus: n, unit: u}
	p.establish(PowerOnOrReset)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.paths[n] = p
	return p
}

// lost is the loss of a nexus at the unit.
func (u *Unit) lost(p *path) {
	u.releaseClassic(p)
	u.allowRemoval(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.paths, p.nexus)
}
