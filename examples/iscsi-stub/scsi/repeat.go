package scsi

import "bytes"

// repeating: WRITE SAME (SBC-3, 5.45, 5.46).
var repeating = []row{
	{
		op: 0x41, action: none, name: "WRITE SAME(10)", usage: "41 08 FF FF FF FF 3F FF FF 00",
		does: needsMedium | writes, check: checkWriteSame, run: runWriteSame,
	},
	{
		op: 0x93, action: none, name: "WRITE SAME(16)", usage: "93 09 FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWriteSame, run: runWriteSame,
	},
}

const (
	unmapBit  = 0x08 // UNMAP: blocks may be given back if they read as the data-out then
	noDataOut = 0x01 // NDOB: of WRITE SAME(16); as if it were zeros
)

func checkWriteSame(c *Command) {
	if c.CDB[1]&unmapBit != 0 && !c.unit.thin() {
		c.badField(1, 3)
		return
	}
	lengthAt := c.decodeRange()
	if !c.inRange() {
		return
	}
	if c.blocks == 0 {
		if c.unit.nonZero {
			c.badField(lengthAt, -1)
			return
		}
		c.blocks = c.unit.volume.Blocks() - c.lba
	}
	if !c.within(c.unit.limits.writeSame, lengthAt) {
		return
	}
	c.moved = c.size()
	if c.CDB[1]&noDataOut == 0 {
		c.wantsExactly(c.blockSize())
	}
}

func runWriteSame(c *Command, w Wait) bool {
	if !c.complete() {
		return true
	}
	block := c.Out
	if c.OutLen == 0 {
		block = make([]byte, c.blockSize())
	}
	if c.CDB[1]&unmapBit != 0 && isZero(block) {
		return c.finish(c.unit.volume.Unmap(c.offset(), int64(c.size()), w))
	}
	return c.finish(c.unit.volume.Fill(block, c.offset(), int64(c.size()), false, w))
}

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
