package scsi

import (
	"bytes"
	"encoding/binary"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// updating: what reads, modifies and writes with nobody in between, or writes all or
// nothing (SBC-3, 5.2, 5.7; SBC-4, 5.46).
var updating = []row{
	{
		op: 0x89, action: none, name: "COMPARE AND WRITE", usage: "89 1A FF FF FF FF FF FF FF FF 00 00 00 FF 3F 00",
		does: needsMedium | writes, check: checkCompareAndWrite, run: runCompareAndWrite,
	},
	{
		op: 0x8B, action: none, name: "ORWRITE(16)", usage: "8B 1A FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWrite, run: runOrWrite,
	},
	{
		op: 0x9C, action: none, name: "WRITE ATOMIC(16)", usage: "9C 18 FF FF FF FF FF FF FF FF 00 00 FF FF 3F 00",
		does: needsMedium | writes, check: checkWriteAtomic, run: runWriteAtomic,
	},
}

// checkCompareAndWrite: the data-out is the blocks to compare with, and then as many to
// write.
func checkCompareAndWrite(c *Command) {
	c.lba, c.blocks = binary.BigEndian.Uint64(c.CDB[2:]), uint64(c.CDB[13])
	if !c.inRange() || !c.within(c.unit.limits.compare, 13) {
		return
	}
	if c.blocks == 0 && c.Expected != 0 {
		c.badField(13, 7) // 256 blocks, say, which the field has no room for
		return
	}
	c.durable = c.CDB[1]&forceUnitAccess != 0
	c.moved = c.size()
	c.wantsExactly(2 * c.size())
}

func runCompareAndWrite(c *Command, w Wait) bool {
	if c.blocks == 0 || !c.complete() {
		return true
	}
	n := c.size()
	return c.finish(c.unit.volume.Update(c.offset(), n, c.durable, w, func(b []byte) error {
		if !bytes.Equal(b, c.Out[:n]) {
			return miscompare(firstDifference(b, c.Out[:n]))
		}
		copy(b, c.Out[n:])
		return nil
	}))
}

// runOrWrite goes in steps, none of which is cut in two. It may be begun anew.
func runOrWrite(c *Command, w Wait) bool {
	if !c.wholeBlocks() {
		return true
	}
	for pos := 0; pos < len(c.Out); pos += volume.MaxUpdate {
		part := c.Out[pos:min(len(c.Out), pos+volume.MaxUpdate)]
		err := c.unit.volume.Update(c.offset()+int64(pos), len(part), c.durable, w, func(b []byte) error {
			or(b, part)
			return nil
		})
		if err != nil {
			return c.finish(err)
		}
	}
	return true
}

// or sets in b the bits that are set in a.
func or(b, a []byte) {
	for i := range b {
		b[i] |= a[i]
	}
}

// checkWriteAtomic: writes without a boundary only, of any alignment, up to what an update
// of the volume holds.
func checkWriteAtomic(c *Command) {
	c.lba, c.blocks = binary.BigEndian.Uint64(c.CDB[2:]), uint64(binary.BigEndian.Uint16(c.CDB[12:]))
	if !c.inRange() || !c.within(c.unit.limits.atomic, 12) {
		return
	}
	c.durable = c.CDB[1]&forceUnitAccess != 0
	c.OutLen = c.size()
	c.moved = c.OutLen
}

func runWriteAtomic(c *Command, w Wait) bool {
	if c.blocks == 0 || !c.complete() {
		return true
	}
	return c.finish(c.unit.volume.Update(c.offset(), len(c.Out), c.durable, w, func(b []byte) error {
		copy(b, c.Out)
		return nil
	}))
}
