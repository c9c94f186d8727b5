package scsi

import (
	"encoding/hex"
	"math/bits"
	"strings"
	"time"
)

// families is every command that a logical unit knows. A row that is not here is a
// command that is answered with INVALID COMMAND OPERATION CODE; REPORT SUPPORTED
// OPERATION CODES reads its answer from here too.
var families = [][]row{
	readiness,        // TEST UNIT READY, REQUEST SENSE
	inquiring,        // INQUIRY
	listing,          // REPORT LUNS
	capacities,       // READ CAPACITY
	modeRows,         // MODE SENSE, MODE SELECT
	reading,          // READ
	writing,          // WRITE, WRITE AND VERIFY
	verifying,        // VERIFY
	updating,         // COMPARE AND WRITE, ORWRITE, WRITE ATOMIC
	repeating,        // WRITE SAME
	unmapping,        // UNMAP, GET LBA STATUS
	caching,          // SYNCHRONIZE CACHE, PRE-FETCH
	defects,          // READ DEFECT DATA
	diagnosing,       // SEND DIAGNOSTIC
	classicReserving, // RESERVE, RELEASE
	reserveIn,        // PERSISTENT RESERVE IN
	reserveOut,       // PERSISTENT RESERVE OUT
	removing,         // START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL
	copying,          // EXTENDED COPY
	copyResults,      // RECEIVE COPY RESULTS
	sanitizing,       // SANITIZE
	portGroups,       // REPORT TARGET PORT GROUPS
	supporting,       // REPORT SUPPORTED OPERATION CODES, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
}

// row is a command: an operation code, or one of its service actions.
type row struct {
	op     byte
	action int    // the service action, or none
	name   string // as the standard has it
	// usage is the CDB as REPORT SUPPORTED OPERATION CODES shows it (SPC-4, 6.35.3): in
	// hexadecimal, the operation code, the service action in its place, and ones for the
	// bits that mean something. All others must be zero in a CDB. Its length is the CDB's.
	usage   string
	does    traits
	timeout time.Duration // what an initiator should wait at least; 0 is half a minute
	// check looks at the CDB, which is as long as it should be and has no unknown bits. It
	// decodes it into the command, and sets OutLen if there is data-out; or it ends the
	// command. It never blocks.
	check func(c *Command)
	// run does the command, once the data-out is there. It returns false if it would have to
	// wait. Without a run, the command is done once checked.
	run func(c *Command, w Wait) bool

	mask []byte // usage, parsed
}

// none stands for the action of an operation code that has no service actions.
const none = -1

// traits are what a command asks of the logical unit before it is looked at any closer.
type traits uint16

const (
	// needsMedium: refused with NOT READY while the medium is not there, stopped or busy.
	needsMedium traits = 1 << iota
	// writes: it changes the medium; refused with DATA PROTECT if that is write protected.
	writes
	// ignoresAttention: a pending unit attention is neither reported nor cleared.
	ignoresAttention
	// underWriteExclusive, underExclusiveAccess: allowed while another nexus holds such a
	// persistent reservation (SPC-4, table 66; SBC-3, table 13).
	underWriteExclusive
	underExclusiveAccess
	// underReserve: allowed while another nexus holds the unit by RESERVE(6) (SPC-2, table 9).
	underReserve
	// actsOnReservations: it is a command of persistent reservations, which looks for itself.
	actsOnReservations

	// thinOnly: it is known to units only that give blocks back.
	thinOnly
	// encryptedOnly: it is known to units only that have a key.
	encryptedOnly
	// anywhere: it has an answer even at a LUN that names no unit; then c.unit is nil.
	anywhere

	// anybodys: allowed whoever has reserved the unit.
	anybodys = underWriteExclusive | underExclusiveAccess | underReserve
	// reads: it reads the medium.
	reads = needsMedium | underWriteExclusive
)

// opcode is the rows of an operation code.
type opcode struct {
	rows       []*row
	hasActions bool // in the five low bits of byte 1
}

var opcodes [256]opcode

func init() {
	for _, family := range families {
		for i := range family {
			family[i].index()
		}
	}
}

// index puts a row where Start finds it.
func (r *row) index() {
	mask, err := hex.DecodeString(strings.ReplaceAll(r.usage, " ", ""))
	if err != nil || len(mask) < 6 || mask[0] != r.op {
		panic("scsi: the usage map of " + r.name)
	}
	r.mask = mask
	o := &opcodes[r.op]
	o.rows = append(o.rows, r)
	o.hasActions = r.action != none
}

// has tells whether the unit knows the command.
func (u *Unit) has(r *row) bool {
	return (r.does&thinOnly == 0 || u.thin()) && (r.does&encryptedOnly == 0 || u.volume.Profile().Encrypted)
}

// find looks a CDB up. With an operation code that is known but not the service action,
// row is nil and known is true.
func find(cdb []byte) (r *row, known bool) {
	o := &opcodes[cdb[0]]
	if !o.hasActions {
		if len(o.rows) == 0 {
			return nil, false
		}
		return o.rows[0], true
	}
	action := -2
	if len(cdb) > 1 {
		action = int(cdb[1] & 0x1F)
	}
	for _, r := range o.rows {
		if r.action == action {
			return r, true
		}
	}
	return nil, true
}

// unknownBit finds the first bit of a CDB that is set and means nothing: its byte, and its
// number there. The byte is negative if there is none.
func (r *row) unknownBit(cdb []byte) (offset, bit int) {
	for i := 1; i < len(r.mask); i++ {
		mask := r.mask[i]
		if i == 1 && r.action != none {
			mask |= 0x1F
		}
		if unknown := cdb[i] &^ mask; unknown != 0 {
			return i, bits.Len8(unknown) - 1
		}
	}
	return -1, 0
}

// Start takes a command that arrived, and checks all that can be checked before its data:
// the LUN, the operation code, unit attentions, the CDB, reservations, the medium, the
// range, in this order (SAM-5, 5.14; SPC-4, 5.9). Any goroutine may call it; it never
// blocks.
func (n *Nexus) Start(c *Command) Next {
	c.reset(n)
	c.admitted()
	if c.failed() {
		return Done
	}
	c.row.check(c)
	switch {
	case c.failed() || c.row.run == nil:
		return Done
	case c.OutLen > 0:
		return NeedData
	}
	return Ready
}

// admitted ends a command that its row, or the state of its logical unit, does not let
// through.
func (c *Command) admitted() {
	if len(c.CDB) == 0 {
		c.fail(IllegalRequest, InvalidOperationCode)
		return
	}
	row, known := find(c.CDB)
	c.row = row
	c.path = c.nexus.at(c.LUN)
	if c.path != nil {
		c.unit = c.path.unit
		c.unit.depth.Add(1)
		c.counted = true
	}
	switch {
	case c.unit == nil && (row == nil || row.does&anywhere == 0):
		c.fail(IllegalRequest, LogicalUnitNotSupported)
	case !known, row != nil && c.unit != nil && row.does&encryptedOnly == 0 && !c.unit.has(row):
		c.fail(IllegalRequest, InvalidOperationCode)
	case row == nil, c.unit != nil && !c.unit.has(row): // SANITIZE is known, and not this one
		c.badField(1, 4)
	case len(c.CDB) < len(row.mask):
		c.badField(len(c.CDB), -1)
	case c.unit == nil:
		c.refuseUnknownBits()
	case row.does&ignoresAttention == 0 && c.path.pending.Load() && c.attention():
	case c.unit.reserved.Load() && !c.unit.allows(c):
		c.Status = ReservationConflict
	case row.does&needsMedium != 0 && c.notReady():
	case row.does&writes != 0 && c.writeProtected():
	default:
		c.refuseUnknownBits()
	}
}

// refuseUnknownBits ends a command in whose CDB a bit is set that means nothing.
func (c *Command) refuseUnknownBits() {
	if offset, bit := c.row.unknownBit(c.CDB); offset >= 0 {
		c.badField(offset, bit)
	}
}
