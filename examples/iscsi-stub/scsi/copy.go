package scsi

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// copying: EXTENDED COPY(LID1) (SPC-4, 6.4), from one unit of the device to another, or
// within one. A unit of another device is not to be found, whatever its name.
var copying = []row{
	{
		op: 0x83, action: 0x00, name: "EXTENDED COPY(LID1)", usage: "83 00 00 00 00 00 00 00 00 00 FF FF FF FF 00 00",
		does: 0, check: checkCopy, run: runCopy,
	},
}

// What OPERATING PARAMETERS and page 8Fh announce.
const (
	maxCopyUnits      = 16       // CSCD descriptors
	maxCopySegments   = 16       // segment descriptors
	maxCopyList       = 1024     // bytes of both
	maxCopySegment    = 32 << 20 // bytes that a segment copies
	copyHeader        = 16
	unitDescriptor    = 0xE4 // identification descriptor
	unitDescriptorLen = 32
	blockToBlock      = 0x02
	blockToBlockAt    = 0x0A // with byte offsets
)

// copyResult is what RECEIVE COPY RESULTS tells of a copy, by its list identifier.
type copyResult struct {
	running  bool
	segments int    // that are done
	bytes    uint64 // that were copied
	sense    []byte // why it failed
}

// copies is the results of a nexus at a unit, which is the copy manager. They are held until
// another copy takes the identifier, or the nexus ends.
type copies struct {
	mu   sync.Mutex
	held map[byte]*copyResult
}

func checkCopy(c *Command) {
	c.OutLen = int(binary.BigEndian.Uint32(c.CDB[10:]))
	if c.OutLen > copyHeader+maxCopyList || c.OutLen > 0 && c.OutLen < copyHeader {
		c.fail(IllegalRequest, ParameterListLengthError)
	}
}

// copyPlan is a parameter list, read.
type copyPlan struct {
	id       byte
	hold     bool // the result
	segments []copySegment
}

// copySegment is what a segment descriptor asks for, in bytes of the volumes.
type copySegment struct {
	source, destination *Unit
	from, to, n         int64
	fault               Sense // why it cannot be done, found before anything is copied
}

// copyUnderWay is a copy that goes on, on a goroutine of its own: quality of service may make it
// last for long.
type copyUnderWay struct {
	stop     chan struct{}
	stopping sync.Once

	mu     sync.Mutex
	over   bool
	failed *Sense
	done   func() // who waits for the end
}

// runCopy begins to copy, one segment after the other. The status waits for the end.
func runCopy(c *Command, w Wait) bool {
	if c.OutLen == 0 {
		return true
	}
	if w == DontWait {
		return false
	}
	plan, ok := c.copyPlan()
	if !ok {
		return true
	}
	result := &copyResult{running: true}
	if !c.path.copies.begin(plan, result) {
		c.fail(IllegalRequest, OperationInProgress)
		return true
	}
	k := &copyUnderWay{stop: make(chan struct{})}
	c.scratch, c.wait = k, (*Command).awaitCopy
	go c.path.copySegments(k, plan.segments, result)
	return true
}

// copySegments is the copy's goroutine.
func (p *path) copySegments(k *copyUnderWay, segments []copySegment, result *copyResult) {
	var failed *Sense
	var sense []byte
	for _, s := range segments {
		if failed = p.copySegment(s, k.stop); failed != nil {
			sense = failed.Append(nil, p.unit.mode().DescriptorSense)
			break
		}
		p.copies.progress(result, uint64(s.n))
	}
	p.copies.end(result, sense)
	k.mu.Lock()
	k.over, k.failed = true, failed
	done := k.done
	k.mu.Unlock()
	if done != nil {
		done()
	}
}

// awaitCopy is Await for an EXTENDED COPY.
func (c *Command) awaitCopy(done func()) bool {
	k, _ := c.scratch.(*copyUnderWay)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.done = done
		return true
	}
	if k.failed != nil {
		c.check(*k.failed)
	}
	return false
}

// begin holds the result of a copy from now on, if it is to be held.
func (h *copies) begin(p copyPlan, r *copyResult) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.held[p.id]; old != nil && old.running {
		return false
	}
	delete(h.held, p.id)
	if p.hold {
		if h.held == nil {
			h.held = make(map[byte]*copyResult)
		}
		h.held[p.id] = r
	}
	return true
}

func (h *copies) progress(r *copyResult, n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.segments++
	r.bytes += n
}

func (h *copies) end(r *copyResult, sense []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.running = false
	r.sense = append([]byte(nil), sense...)
}

// copyPlan reads the parameter list (SPC-4, table 106), or ends the command.
func (c *Command) copyPlan() (p copyPlan, ok bool) {
	if len(c.Out) < copyHeader {
		c.fail(IllegalRequest, ParameterListLengthError)
		return p, false
	}
	const discard, noIdentifier = 0x10, 0x18
	usage := c.Out[1] & 0x18
	p.id, p.hold = c.Out[0], usage&discard == 0
	units := int(binary.BigEndian.Uint16(c.Out[2:]))
	segments := int64(binary.BigEndian.Uint32(c.Out[8:]))
	inline := binary.BigEndian.Uint32(c.Out[12:])
	switch list := c.Out[copyHeader:]; {
	case usage == noIdentifier && p.id != 0:
		c.badParameter(0, -1)
	case inline != 0:
		c.fail(IllegalRequest, InlineDataLengthExceeded)
	case int64(units)+segments > maxCopyList, int64(units)+segments > int64(len(list)), units%unitDescriptorLen != 0:
		c.fail(IllegalRequest, ParameterListLengthError)
	case units/unitDescriptorLen > maxCopyUnits:
		c.fail(IllegalRequest, TooManyTargetDescriptors)
	default:
		found, good := c.copyUnits(list[:units])
		if !good {
			return p, false
		}
		p.segments = c.readSegments(list[units:units+int(segments)], found)
	}
	return p, !c.failed()
}

// copyUnits finds the units that identification descriptors name (SPC-4, table 112). One
// that is not there is only missed by a segment that wants it.
func (c *Command) copyUnits(list []byte) (units []*Unit, ok bool) {
	for at := 0; at < len(list); at += unitDescriptorLen {
		d := list[at : at+unitDescriptorLen]
		if d[0] != unitDescriptor {
			c.fail(IllegalRequest, UnsupportedTargetDescriptorType)
			return nil, false
		}
		if d[1]&0x1F != directAccess || d[7] > 20 {
			c.badParameter(copyHeader+at+1, -1)
			return nil, false
		}
		units = append(units, c.nexus.unitNamed(d[4]&0x0F, d[5]&0x3F, d[8:8+d[7]]))
	}
	return units, true
}

// unitNamed is the unit of the nexus's device with a designator, or nil.
func (n *Nexus) unitNamed(codeSet, kind byte, name []byte) *Unit {
	for _, p := range *n.paths.Load() {
		id := &p.unit.id
		if codeSet == inBinary && kind == ofUnit|typeNAA && string(name) == string(id.naa[:]) ||
			codeSet == inASCII && kind == ofUnit|typeT10 && string(name) == string(id.vendor[:])+id.serial {
			return p.unit
		}
	}
	return nil
}

// readSegments reads block device to block device segment descriptors (SPC-4, tables 119, 133).
func (c *Command) readSegments(list []byte, units []*Unit) (segments []copySegment) {
	for len(list) > 0 {
		if len(list) < 4 {
			c.fail(IllegalRequest, ParameterListLengthError)
			return nil
		}
		n := 4 + int(binary.BigEndian.Uint16(list[2:]))
		kind := list[0]
		switch {
		case kind != blockToBlock && kind != blockToBlockAt:
			c.fail(IllegalRequest, UnsupportedSegmentDescriptorType)
			return nil
		case kind == blockToBlock && n != 28, kind == blockToBlockAt && n != 32, n > len(list):
			c.fail(IllegalRequest, ParameterListLengthError)
			return nil
		case len(segments) == maxCopySegments:
			c.fail(IllegalRequest, TooManySegmentDescriptors)
			return nil
		}
		segments = append(segments, c.readSegment(list[:n], units))
		list = list[n:]
	}
	return segments
}

// readSegment reads a segment descriptor and looks for what is wrong with it, which is told
// when its turn comes.
func (c *Command) readSegment(d []byte, units []*Unit) (s copySegment) {
	source, destination := int(binary.BigEndian.Uint16(d[4:])), int(binary.BigEndian.Uint16(d[6:]))
	if source >= len(units) || destination >= len(units) || units[source] == nil || units[destination] == nil {
		s.fault = Sense{Key: CopyAborted, Code: UnreachableCopyTarget}
		return s
	}
	s.source, s.destination = units[source], units[destination]
	from, to := int64(s.source.volume.BlockSize()), int64(s.destination.volume.BlockSize())
	fromLBA, toLBA := binary.BigEndian.Uint64(d[12:]), binary.BigEndian.Uint64(d[20:])
	if fromLBA > s.source.volume.Blocks() || toLBA > s.destination.volume.Blocks() {
		s.fault = Sense{Key: CopyAborted, Code: NoAdditionalSense}
		return s
	}
	s.from, s.to = int64(fromLBA)*from, int64(toLBA)*to
	if d[0] == blockToBlockAt {
		s.n = int64(binary.BigEndian.Uint32(d[8:]))
		s.from += int64(binary.BigEndian.Uint16(d[28:]))
		s.to += int64(binary.BigEndian.Uint16(d[30:]))
	} else if s.n = int64(binary.BigEndian.Uint16(d[10:])); d[1]&0x02 != 0 { // DC
		s.n *= to
	} else {
		s.n *= from
	}
	s.fault = c.path.copyFault(s)
	return s
}

// copyFault says why a segment cannot be copied. The copy manager may do what the nexus may
// do that asked it, and no more.
func (p *path) copyFault(s copySegment) Sense {
	aborted := func(code Code) Sense { return Sense{Key: CopyAborted, Code: code} }
	from, to := int64(s.source.volume.BlockSize()), int64(s.destination.volume.BlockSize())
	switch {
	case s.n > maxCopySegment:
		return Sense{Key: IllegalRequest, Code: InvalidFieldInParameterList}
	case s.from+s.n > int64(s.source.volume.Blocks())*from, s.to+s.n > int64(s.destination.volume.Blocks())*to:
		return aborted(NoAdditionalSense)
	case s.from%from != 0, s.n%from != 0, s.to%to != 0, s.n%to != 0:
		return aborted(UnexpectedInexactSegment)
	case !p.nexus.mayCopy(s.source, reads), !p.nexus.mayCopy(s.destination, writes):
		return aborted(ThirdPartyDeviceFailure)
	}
	return Sense{}
}

// mayCopy tells whether a command with these traits would be let through at a unit.
func (n *Nexus) mayCopy(u *Unit, does traits) bool {
	if by := u.reserving.classic.Load(); by != nil && by.nexus != n {
		return false
	}
	r := u.reserving.persistent.Load()
	protected := u.volume.Profile().ReadOnly || u.mode().SoftwareWriteProtect
	return u.unready.Load() == nil &&
		(does&writes == 0 || !protected) &&
		(r.mayUse(n.pair()) || does&underWriteExclusive != 0 && !r.kind.exclusive())
}

// copySegment copies a segment.
func (p *path) copySegment(s copySegment, stop <-chan struct{}) *Sense {
	if s.fault != (Sense{}) {
		return &s.fault
	}
	// What has changed since the list was read: a reservation, or the medium.
	if s.fault = p.copyFault(s); s.fault != (Sense{}) {
		return &s.fault
	}
	buffer := scratch.Get().(*[64 << 10]byte)
	defer scratch.Put(buffer)
	for pos := int64(0); pos < s.n; pos += int64(len(buffer)) {
		part := buffer[:min(int64(len(buffer)), s.n-pos)]
		n := int64(len(part))
		err := s.source.shaped(false, n, stop, func() error { return s.source.volume.ReadAt(part, s.from+pos, MayWait) })
		if err == nil {
			err = s.destination.shaped(true, n, stop, func() error { return s.destination.volume.WriteAt(part, s.to+pos, false, MayWait) })
		}
		if err != nil {
			code := ThirdPartyDeviceFailure
			if errors.Is(err, volume.ErrRange) {
				code = NoAdditionalSense
			}
			return &Sense{Key: CopyAborted, Code: code}
		}
	}
	return nil
}
