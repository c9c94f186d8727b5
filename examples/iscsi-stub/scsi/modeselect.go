package scsi

import (
	"encoding/binary"
	"math/bits"
)

const (
	pageFormat = 0x10 // PF
	savePages  = 0x01 // SP
)

func checkModeSelect(c *Command) {
	switch {
	case c.CDB[1]&pageFormat == 0:
		c.badField(1, 4)
	case c.CDB[1]&savePages != 0 && c.unit.keeper == nil:
		c.badField(1, 0)
	default:
		c.OutLen = c.modeLength()
	}
}

// runModeSelect changes all that the parameter list says, or nothing.
func runModeSelect(c *Command, w Wait) bool {
	if !c.complete() || c.OutLen == 0 {
		return true
	}
	old := c.unit.mode()
	next := *old
	if !c.parseModes(&next) {
		return true
	}
	save := c.CDB[1]&savePages != 0
	if (save || next.WriteCache != old.WriteCache) && w == DontWait {
		return false
	}
	if save {
		if err := c.unit.save(func(s *savedState) { s.Modes = &next }); err != nil {
			c.fail(HardwareError, InternalTargetFailure)
			return true
		}
		c.unit.savedModes.Store(&next)
	}
	return c.changeModes(&next, w)
}

// changeModes makes modes the current ones, and tells the other initiators. Without the
// write cache nothing is in it when the status is sent.
func (c *Command) changeModes(next *modes, w Wait) bool {
	old := c.unit.mode()
	if *next == *old {
		return true
	}
	c.unit.setModes(next)
	c.unit.tellOthers(c.nexus, ModeParametersChanged)
	if old.WriteCache && !next.WriteCache {
		return c.finish(c.unit.volume.Sync(w))
	}
	return true
}

// parseModes reads the mode parameter list (SPC-4, 7.5.4) into modes.
func (c *Command) parseModes(m *modes) bool {
	header := c.modeHeader()
	if len(c.Out) < header {
		c.fail(IllegalRequest, ParameterListLengthError)
		return false
	}
	descriptor, long := int(c.Out[3]), false
	if header == 8 {
		descriptor, long = int(binary.BigEndian.Uint16(c.Out[6:])), c.Out[4]&0x01 != 0
	}
	pages := header + descriptor
	if len(c.Out) < pages {
		c.fail(IllegalRequest, ParameterListLengthError)
		return false
	}
	if !c.sameBlocks(header, descriptor, long) {
		return false
	}
	for at := pages; at < len(c.Out); {
		n, ok := c.parseModePage(at, m)
		if !ok {
			return false
		}
		at += n
	}
	return true
}

// sameBlocks refuses a block descriptor that asks for another capacity or block length
// than the medium has. A capacity of zero, or of all ones, asks for what there is.
func (c *Command) sameBlocks(at, length int, long bool) bool {
	var blocks, size uint64
	d := c.Out[at:]
	sizeAt := at + 5
	switch {
	case length == 0:
		return true
	case length == 8 && !long:
		blocks, size = uint64(binary.BigEndian.Uint32(d)), uint64(binary.BigEndian.Uint32(d[4:])&0xFFFFFF)
		if blocks == 0xFFFFFFFF {
			blocks = 0
		}
	case length == 16 && long:
		blocks, size, sizeAt = binary.BigEndian.Uint64(d), uint64(binary.BigEndian.Uint32(d[12:])), at+12
	default:
		c.badParameter(at-1, -1)
		return false
	}
	if blocks != 0 && blocks != c.unit.volume.Blocks() {
		c.badParameter(at, -1)
		return false
	}
	if size != uint64(c.blockSize()) {
		c.badParameter(sizeAt, -1)
		return false
	}
	return true
}

// parseModePage reads the page that begins at a byte of the parameter list into modes, and
// returns its length. A bit that cannot be changed must be as it is.
func (c *Command) parseModePage(at int, m *modes) (length int, ok bool) {
	b := c.Out[at:]
	if len(b) < 2 {
		c.fail(IllegalRequest, ParameterListLengthError)
		return 0, false
	}
	page := pageAt(b[0] & 0x3F)
	switch {
	case page == nil, b[0]&0x40 != 0: // SPF: there are no subpages
		c.badParameter(at, 5)
		return 0, false
	case int(b[1]) != page.length-2:
		c.badParameter(at+1, 7)
		return 0, false
	case len(b) < page.length:
		c.fail(IllegalRequest, ParameterListLengthError)
		return 0, false
	}
	b = b[:page.length]
	current, mask := page.append(nil, c.unit.mode()), page.changeable()
	for i := 2; i < len(b); i++ {
		if wrong := (b[i] ^ current[i]) &^ mask[i]; wrong != 0 {
			c.badParameter(at+i, bits.Len8(wrong)-1)
			return 0, false
		}
	}
	page.take(b, m)
	return page.length, true
}
