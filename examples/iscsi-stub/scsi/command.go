package scsi

import (
	"errors"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// Wait says whether a call may wait for a disk, or for another's turn.
type Wait = volume.Wait

// A loop never waits; a worker may.
const (
	DontWait = volume.DontWait
	MayWait  = volume.MayWait
)

// Next says what the transport does with a command that [Nexus.Start] looked at.
type Next uint8

const (
	// Done means that the outcome stands. There may be data-in, which ReadIn gives.
	Done Next = iota
	// NeedData asks for data: fetch OutLen bytes of data-out into Out, then Run. If the initiator
	// expects to transfer less, Out is what it sends.
	NeedData
	// Ready means that there is no data-out; Run.
	Ready
)

// Command is a SCSI command on its way through a [Nexus]. Its zero value is ready for
// use; after End it may be used again. One goroutine at a time uses it, except that
// ReadIn may be called by several when Run has returned true.
type Command struct {
	// What the transport sets before Start. CDB is to stay as it is until End.
	LUN       [8]byte
	CDB       []byte
	Attribute TaskAttribute
	// Out is the data-out, all of it, set before Run. It may be shorter than OutLen, never
	// longer, and is to stay as it is until Run has returned true.
	Out []byte
	// Expected is how many bytes of data-out the initiator means to send; 0 if it does not
	// say. Only commands ask whose data-out has one length (WRITE SAME, COMPARE AND WRITE).
	Expected int
	// Waited is for how long the command, or the last of its data-out, waited for the
	// transport's turn, as far as it knows; set before the first Admit.
	Waited time.Duration

	// OutLen is how many bytes of data-out the CDB asks for, and InLen how many bytes of
	// data-in there are. They know nothing of what the initiator expects: residuals are
	// the transport's. OutLen is set by Start, InLen when Start says Done or Run says true.
	OutLen, InLen int
	// Status and Sense are the outcome, set at the same time as InLen, and again by a
	// ReadIn that fails. Sense is valid until End.
	Status Status
	Sense  []byte

	nexus *Nexus
	path  *path // the nexus at the logical unit; nil if there is none
	unit  *Unit
	row   *row

	lba     uint64
	blocks  uint64
	moved   int    // bytes that are read or written at the medium, for quality of service
	durable bool   // the medium, not only the cache, has the data when the status is sent
	medium  bool   // data-in is read from the medium at lba; otherwise it is in
	in      []byte // data-in that the command made
	scratch any    // what a row's check leaves for its run, or its run for Await
	wait    func(c *Command, done func()) bool
	io      qos.IO // as the unit's shaper has it
	shaped  bool   // the shaper knows of it
	counted bool   // the unit counts it as under way

	senseBuf [maxSense]byte
}

// Admit says how long the command is to wait, by the logical unit's quality of service,
// with the time it is: 0 lets it Run, otherwise ask again when that has passed.
func (c *Command) Admit(now time.Time) time.Duration {
	if c.moved == 0 || c.unit == nil || c.unit.shaper == nil {
		return 0
	}
	if !c.shaped {
		c.shaped = true
		c.io = qos.IO{Write: c.row.does&writes != 0, Bytes: c.moved, Waited: c.Waited}
	}
	return c.unit.shaper.Admit(&c.io, now)
}

// Run does the command. It returns false only with DontWait, when it would have to wait
// and has done nothing: call it again with MayWait on a goroutine of its own.
func (c *Command) Run(w Wait) bool { return c.row.run(c, w) }

// ReadIn fills p with data-in from byte pos on; what is read from the medium is read
// straight into p. It returns false if it would have to wait, which only happens with
// DontWait, or if the medium failed: then Status is CHECK CONDITION.
func (c *Command) ReadIn(p []byte, pos int, w Wait) bool {
	if !c.medium {
		clear(p[copy(p, c.in[min(pos, len(c.in)):]):])
		return true
	}
	return c.readMedium(p, pos, w)
}

// Settle tells the quality of service, and whoever counts, that the command has been
// answered. End does it, too; it is for a transport that keeps a command after that, to read its
// data-in again.
func (c *Command) Settle() {
	if c.counted {
		c.unit.depth.Add(-1)
		c.counted = false
	}
	if c.shaped {
		c.unit.shaper.Done(&c.io, time.Now())
		c.shaped = false
	}
}

// End says that the transport is done with the command. Afterwards it may be used again.
func (c *Command) End() {
	c.Settle()
	c.nexus, c.path, c.unit, c.row = nil, nil, nil, nil
	c.CDB, c.Out, c.Expected, c.Sense, c.scratch, c.wait = nil, nil, 0, nil, nil, nil
	c.Waited = 0
	if cap(c.in) > 4096 {
		c.in = nil
	}
}

// Name is the command's name in its standard, for logs and metrics; it is empty until
// Start knows the command.
func (c *Command) Name() string {
	if c.row == nil {
		return ""
	}
	return c.row.name
}

// Unit is the logical unit that the command is for, or nil if its LUN names none.
func (c *Command) Unit() *Unit { return c.unit }

// Writes tells whether the command changes the medium.
func (c *Command) Writes() bool { return c.row != nil && c.row.does&writes != 0 }

// SenseKey is the outcome's sense key, NO SENSE if it has none.
func (c *Command) SenseKey() SenseKey {
	if len(c.Sense) == 0 {
		return NoSense
	}
	if c.Sense[0]&0x02 != 0 {
		return SenseKey(c.Sense[1] & 0xF)
	}
	return SenseKey(c.Sense[2] & 0xF)
}

// reset makes the command that of a nexus, with nothing done yet.
func (c *Command) reset(n *Nexus) {
	c.Settle()
	c.nexus, c.path, c.unit, c.row = n, nil, nil, nil
	c.OutLen, c.InLen, c.Status, c.Sense = 0, 0, Good, nil
	c.lba, c.blocks, c.moved, c.durable, c.medium = 0, 0, 0, false, false
	c.in, c.scratch, c.wait = c.in[:0], nil, nil
}

// check ends the command with CHECK CONDITION and what s says.
func (c *Command) check(s Sense) {
	c.Status, c.InLen, c.in, c.medium = CheckCondition, 0, c.in[:0], false
	c.Sense = s.Append(c.senseBuf[:0], c.unit != nil && c.unit.mode().DescriptorSense)
}

// fail ends the command with CHECK CONDITION.
func (c *Command) fail(key SenseKey, code Code) { c.check(Sense{Key: key, Code: code}) }

// badField ends the command with INVALID FIELD IN CDB, and points at the field: its first
// byte, and its leftmost bit there.
func (c *Command) badField(offset, bit int) {
	c.check(Sense{Key: IllegalRequest, Code: InvalidFieldInCDB}.at(true, offset, bit))
}

// badParameter ends the command with INVALID FIELD IN PARAMETER LIST, and points at the
// field: its first byte, and its leftmost bit there.
func (c *Command) badParameter(offset, bit int) {
	c.check(Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList}.at(false, offset, bit))
}

// failed tells whether the command has ended with something else than GOOD.
func (c *Command) failed() bool { return c.Status != Good }

// answer makes b, which stays as it is until End, the data-in, cut to the allocation
// length.
func (c *Command) answer(b []byte, allocation int) {
	c.in = b[:min(len(b), allocation)]
	c.InLen = len(c.in)
}

// finish makes what the volume said the command's outcome. It returns false if the
// command has to wait.
func (c *Command) finish(err error) bool {
	if errors.Is(err, volume.ErrWait) {
		return false
	}
	if err != nil {
		c.check(c.senseOf(err))
	}
	return true
}

// senseOf translates a volume's error.
func (c *Command) senseOf(err error) Sense {
	var s Sense
	switch {
	case errors.As(err, &s):
		return s
	case errors.Is(err, volume.ErrFull):
		return Sense{Key: DataProtect, Code: SpaceAllocationFailed}
	case errors.Is(err, volume.ErrReadOnly):
		return Sense{Key: DataProtect, Code: WriteProtected}
	case errors.Is(err, volume.ErrRange):
		return Sense{Key: IllegalRequest, Code: LBAOutOfRange}
	case errors.Is(err, volume.ErrMedium), errors.Is(err, volume.ErrTruncated):
		code := UnrecoveredReadError
		if c.row.does&writes != 0 {
			code = WriteError
		}
		return Sense{Key: MediumError, Code: code}.with(c.lba)
	}
	return Sense{Key: HardwareError, Code: InternalTargetFailure}
}
