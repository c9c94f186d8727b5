package scsi

import (
	"encoding/binary"
	"slices"
)

// modeRows: MODE SENSE and MODE SELECT (SPC-4, 6.10 to 6.13).
var modeRows = []row{
	{
		op: 0x1A, action: none, name: "MODE SENSE(6)", usage: "1A 08 FF FF FF 00",
		does: underWriteExclusive, check: checkModeSense,
	},
	{
		op: 0x5A, action: none, name: "MODE SENSE(10)", usage: "5A 18 FF FF 00 00 00 FF FF 00",
		does: underWriteExclusive, check: checkModeSense,
	},
	{
		op: 0x15, action: none, name: "MODE SELECT(6)", usage: "15 11 00 00 FF 00",
		check: checkModeSelect, run: runModeSelect,
	},
	{
		op: 0x55, action: none, name: "MODE SELECT(10)", usage: "55 11 00 00 00 00 00 FF FF 00",
		check: checkModeSelect, run: runModeSelect,
	},
}

// modeHeader is the length of a mode parameter header in this form of the command.
func (c *Command) modeHeader() int {
	if len(c.row.mask) == 6 {
		return 4
	}
	return 8
}

// modeLength is the allocation length, or the parameter list length.
func (c *Command) modeLength() int {
	if len(c.row.mask) == 6 {
		return int(c.CDB[4])
	}
	return int(binary.BigEndian.Uint16(c.CDB[7:]))
}

// What the page control field asks for (SPC-4, table 141).
const (
	currentValues    = 0
	changeableValues = 1
	defaultValues    = 2
	savedValues      = 3
)

const (
	allPages    = 0x3F
	allSubpages = 0xFF
)

func checkModeSense(c *Command) {
	control, code, subpage := c.CDB[2]>>6, c.CDB[2]&0x3F, c.CDB[3]
	switch {
	case control == savedValues && c.unit.keeper == nil:
		c.fail(IllegalRequest, SavingParametersNotSupported)
		return
	case subpage != 0 && subpage != allSubpages:
		c.badField(3, 7)
		return
	}
	b := c.appendModeHeader(c.in[:0])
	none := len(b)
	for i := range modePages {
		if page := &modePages[i]; code == allPages || code == page.code {
			b = c.appendModePage(b, page, control)
		}
	}
	if len(b) == none {
		c.badField(2, 5)
		return
	}
	if c.modeHeader() == 4 {
		b[0] = byte(len(b) - 1)
	} else {
		binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	}
	c.answer(b, c.modeLength())
}

// appendModeHeader appends the header, and a block descriptor unless DBD says not to
// (SPC-4, 7.5.5; SBC-3, 6.5.2).
func (c *Command) appendModeHeader(b []byte) []byte {
	specific := byte(0x10) // DPOFUA
	if c.unit.volume.Profile().ReadOnly || c.unit.mode().SoftwareWriteProtect {
		specific |= 0x80 // WP
	}
	withDescriptor := c.CDB[1]&0x08 == 0
	long := c.CDB[1]&0x10 != 0 // LLBAA, of MODE SENSE(10)
	var length byte
	switch {
	case withDescriptor && long:
		length = 16
	case withDescriptor:
		length = 8
	}
	if c.modeHeader() == 4 {
		b = append(b, 0, 0, specific, length)
	} else {
		b = append(b, 0, 0, 0, specific, flag(length == 16, 0x01), 0, 0, length)
	}
	blocks, size := c.unit.volume.Blocks(), uint32(c.blockSize())
	switch length {
	case 8:
		b = binary.BigEndian.AppendUint32(b, uint32(min(blocks, 0xFFFFFFFF)))
		b = binary.BigEndian.AppendUint32(b, size)
	case 16:
		b = binary.BigEndian.AppendUint64(b, blocks)
		b = binary.BigEndian.AppendUint64(b, uint64(size))
	}
	return b
}

// appendModePage appends the values of a page that the page control field asks for.
func (c *Command) appendModePage(b []byte, page *modePage, control byte) []byte {
	start := len(b)
	mask := page.changeable()
	switch control {
	case currentValues:
		b = page.append(b, c.unit.mode())
	case changeableValues:
		b = append(b, mask...)
	case defaultValues:
		b = page.append(b, c.unit.defaultModes())
	case savedValues:
		b = page.append(b, c.unit.savedModes.Load())
	}
	if c.unit.keeper != nil && !isZero(mask[2:]) {
		b[start] |= 0x80 // PS: the page can be saved
	}
	return b
}

// pageAt finds a mode page by its code.
func pageAt(code byte) *modePage {
	i := slices.IndexFunc(modePages, func(p modePage) bool { return p.code == code })
	if i < 0 {
		return nil
	}
	return &modePages[i]
}
