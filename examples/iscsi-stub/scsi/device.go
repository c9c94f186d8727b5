package scsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// TargetPort is a way into a device, which in iSCSI is a portal group.
type TargetPort struct {
	ID   uint16 // the relative target port identifier, 1 or more
	Name string // as SCSI names it: for iSCSI the target's name, ",t,0x" and the portal group tag (RFC 7143, 4.2.7)
}

// DeviceConfig says what a SCSI target device is.
type DeviceConfig struct {
	Name  string // the SCSI device name: for iSCSI the target's name
	Ports []TargetPort
}

// Device is a SCSI target device: logical units by their numbers, behind target ports.
// Any goroutine may call its methods.
type Device struct {
	name  string
	ports []TargetPort

	mu      sync.Mutex
	units   map[uint16]*Unit
	nexuses map[*Nexus]struct{}
}

// NewDevice makes a device without units.
func NewDevice(config DeviceConfig) *Device {
	return &Device{
		name:    config.Name,
		ports:   slices.Clone(config.Ports),
		units:   make(map[uint16]*Unit),
		nexuses: make(map[*Nexus]struct{}),
	}
}

// Name is the SCSI device name.
func (d *Device) Name() string { return d.name }

// maxLUN is the largest logical unit number that flat space addressing holds (SAM-5, 4.7.7.3).
const maxLUN = 1<<14 - 1

// What Add refuses.
var (
	ErrLUNTaken = errors.New("scsi: the logical unit number is taken")
	ErrLUNRange = fmt.Errorf("scsi: a logical unit number is at most %d", maxLUN)
)

// Add makes a unit, which belongs to no other device, reachable under a number. Initiators
// that are there learn of it by a unit attention at the units they know.
func (d *Device) Add(lun uint16, u *Unit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if lun > maxLUN {
		return ErrLUNRange
	}
	if d.units[lun] != nil {
		return ErrLUNTaken
	}
	d.units[lun] = u
	d.unitsChanged()
	return nil
}

// Remove takes a unit away, and returns it, or nil if there was none. Commands that run
// at it are finished; aborting them is the caller's, by AbortTasks of each nexus.
func (d *Device) Remove(lun uint16) *Unit {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.units[lun]
	if u != nil {
		delete(d.units, lun)
		d.unitsChanged()
	}
	return u
}

// Units is the units by their numbers.
func (d *Device) Units() map[uint16]*Unit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.units)
}

// unitsChanged leads every nexus to the units that are there now; d.mu is held.
func (d *Device) unitsChanged() {
	for n := range d.nexuses {
		for _, p := range *n.paths.Load() {
			p.establish(ReportedLUNsDataChanged)
		}
		n.findPaths()
	}
}

// lunOf decodes a LUN of single level structure, by peripheral device or flat space
// addressing (SAM-5, 4.7.7).
func lunOf(b [8]byte) (lun uint16, ok bool) {
	first := binary.BigEndian.Uint16(b[:])
	rest := binary.BigEndian.Uint64(b[:]) << 16
	switch {
	case rest != 0:
		return 0, false
	case first>>14 == 1:
		return first & maxLUN, true
	case first < 256:
		return first, true
	}
	return 0, false
}

// appendLUN encodes a logical unit number as REPORT LUNS has it.
func appendLUN(b []byte, lun uint16) []byte {
	if lun > 255 {
		lun |= 1 << 14
	}
	return append(binary.BigEndian.AppendUint16(b, lun), 0, 0, 0, 0, 0, 0)
}
