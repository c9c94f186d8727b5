package scsi

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// Keeper keeps what a logical unit must remember through a loss of power: saved mode
// pages, and persistent reservations. Its methods may block, and what Save was given is
// durable when it returns. Load returns nil for a unit that was never saved.
type Keeper interface {
	Save(unit string, state []byte) error
	Load(unit string) ([]byte, error)
}

// Shaper shares a volume's throughput out; a *qos.Volume is one. Admit says how long an
// I/O is to wait until it is asked about again, 0 lets it go. Done follows, also on one
// that never went.
type Shaper interface {
	Admit(io *qos.IO, now time.Time) time.Duration
	Done(io *qos.IO, now time.Time)
}

// UnitConfig says what a logical unit is.
type UnitConfig struct {
	// Volume is its medium.
	Volume *volume.Volume
	// Keeper keeps its state under the volume's name. Without one nothing can be saved, and
	// the unit says so.
	Keeper Keeper
	// Shaper is asked before each command that moves data; nil admits all at once.
	Shaper Shaper
	// RefuseWriteSameToEnd refuses a WRITE SAME of no blocks, which otherwise goes on to the
	// end of the medium (WSNZ in VPD page B0h).
	RefuseWriteSameToEnd bool
	// Vendor (8 bytes), Product (16) and Revision (4) are what INQUIRY says; each has a
	// default. Serial is the unit serial number, by default the volume's ID in hexadecimal.
	Vendor, Product, Revision, Serial string
	// Meter is for whoever counts what happens at the unit, which Unit.Meter gives to him.
	Meter any
}

// Unit is a logical unit: a direct-access block device. Any goroutine may call its methods.
type Unit struct {
	volume     *volume.Volume
	keeper     Keeper
	shaper     Shaper
	meter      any
	id         identity
	limits     limits
	writeCache bool // whether the volume starts with a write cache
	nonZero    bool // RefuseWriteSameToEnd

	// What the path of each command asks, without a lock.
	unready  atomic.Pointer[Sense] // why the medium cannot be used; nil if it can
	reserved atomic.Bool           // somebody holds a reservation: ask allows
	modes    atomic.Pointer[modes] // the current mode pages

	depth atomic.Int64 // commands under way

	reserving reserving
	medium    medium

	savedModes atomic.Pointer[modes] // what a reset brings back

	mu    sync.Mutex
	paths map[*Nexus]*path

	saving sync.Mutex // held while the keeper saves, so by goroutines that may block only
	saved  savedState
}

// NewUnit makes a logical unit. It loads what the keeper kept, and so may block.
func NewUnit(config UnitConfig) (*Unit, error) {
	u := &Unit{
		volume:  config.Volume,
		keeper:  config.Keeper,
		shaper:  config.Shaper,
		id:      newIdentity(config),
		nonZero: config.RefuseWriteSameToEnd,
		paths:   make(map[*Nexus]*path),
		meter:   config.Meter,
	}
	u.limits = newLimits(u.volume)
	u.writeCache = u.volume.WriteCache()
	if err := u.load(); err != nil {
		return nil, err
	}
	return u, nil
}

// Name is the volume's name.
func (u *Unit) Name() string { return u.volume.Name() }

// Volume is the unit's medium.
func (u *Unit) Volume() *volume.Volume { return u.volume }

// Meter is what the unit's configuration had, for whoever counts what happens at it.
func (u *Unit) Meter() any { return u.meter }

// Depth is how many commands are under way at the unit, those of all nexuses: from Start to
// Settle or End.
func (u *Unit) Depth() int { return int(u.depth.Load()) }

// mode is the current mode pages, decoded.
func (u *Unit) mode() *modes { return u.modes.Load() }

// notReady ends a command that needs a medium which cannot be used.
func (c *Command) notReady() bool {
	why := c.unit.unready.Load()
	if why == nil {
		return false
	}
	c.check(*why)
	return true
}

// writeProtected ends a command that would write to a medium which must not be written.
func (c *Command) writeProtected() bool {
	switch {
	case c.unit.volume.Profile().ReadOnly:
		c.fail(DataProtect, WriteProtected)
	case c.unit.mode().SoftwareWriteProtect:
		c.fail(DataProtect, SoftwareWriteProtected)
	default:
		return false
	}
	return true
}
