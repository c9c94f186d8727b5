package scsi

import (
	"encoding/binary"
	"sync"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// blockSize is the length of a logical block in bytes.
func (c *Command) blockSize() int { return c.unit.volume.BlockSize() }

// offset is where on the volume the command's blocks begin, in bytes.
func (c *Command) offset() int64 { return int64(c.lba) * int64(c.blockSize()) }

// size is how many bytes the command's blocks are.
func (c *Command) size() int { return int(c.blocks) * c.blockSize() }

// decodeRange reads the LBA and the number of blocks, where a CDB of this length has
// them (SPC-4, 4.2.2), and returns the byte of the latter.
func (c *Command) decodeRange() (lengthAt int) {
	b := c.CDB
	switch len(c.row.mask) {
	case 6:
		c.lba = uint64(binary.BigEndian.Uint32(b)) & 0x1FFFFF
		c.blocks = uint64(b[4])
		if c.blocks == 0 {
			c.blocks = 256 // READ(6) and WRITE(6) only (SBC-3, 5.10)
		}
		return 4
	case 10:
		c.lba = uint64(binary.BigEndian.Uint32(b[2:]))
		c.blocks = uint64(binary.BigEndian.Uint16(b[7:]))
		return 7
	case 12:
		c.lba = uint64(binary.BigEndian.Uint32(b[2:]))
		c.blocks = uint64(binary.BigEndian.Uint32(b[6:]))
		return 6
	default:
		c.lba = binary.BigEndian.Uint64(b[2:])
		c.blocks = uint64(binary.BigEndian.Uint32(b[10:]))
		return 10
	}
}

// takeRange decodes the range of blocks, and ends the command unless it is on the medium
// and no longer than most blocks.
func (c *Command) takeRange(most uint64) bool {
	lengthAt := c.decodeRange()
	return c.inRange() && c.within(most, lengthAt)
}

// inRange ends a command whose range is not on the medium. An LBA behind the last is
// out of range even with no blocks to transfer.
func (c *Command) inRange() bool {
	last := c.unit.volume.Blocks()
	if c.lba >= last || c.blocks > last-c.lba {
		c.fail(IllegalRequest, LBAOutOfRange)
		return false
	}
	return true
}

// within ends a command that asks for more blocks than the limits in VPD page B0h allow.
func (c *Command) within(most uint64, lengthAt int) bool {
	if c.blocks > most {
		c.badField(lengthAt, -1)
		return false
	}
	return true
}

// wholeBlocks ends a command whose data-out, cut short by the initiator, ends within a
// block: nothing is written. Otherwise it leaves in blocks how many there are.
func (c *Command) wholeBlocks() bool {
	if len(c.Out)%c.blockSize() != 0 {
		c.fail(IllegalRequest, InvalidFieldInInformationUnit)
		return false
	}
	c.blocks = uint64(len(c.Out) / c.blockSize())
	return true
}

// wantsExactly sets OutLen, and ends a command for which the initiator means to send
// another number of bytes.
func (c *Command) wantsExactly(n int) {
	c.OutLen = n
	if c.Expected != 0 && c.Expected != n {
		c.fail(IllegalRequest, InvalidFieldInInformationUnit)
	}
}

// complete ends a command that cannot do with less data-out than it asked for.
func (c *Command) complete() bool {
	if len(c.Out) < c.OutLen {
		c.fail(IllegalRequest, InvalidFieldInInformationUnit)
		return false
	}
	return true
}

// flags of READ, WRITE and their like, in byte 1 of the CDB (SBC-3, 5.8). DPO, and the
// obsolete FUA_NV, are taken and make no difference.
const forceUnitAccess = 0x08

// scratch is memory to read blocks into that the initiator does not get.
var scratch = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// inlineMost is how many bytes a command goes through without leaving the loop.
const inlineMost = 1 << 20

// eachPart reads the command's blocks from the medium part by part.
func (c *Command) eachPart(w Wait, f func(part []byte, pos int) error) error {
	n := c.size()
	if n > inlineMost && w == DontWait {
		return volume.ErrWait
	}
	buffer := scratch.Get().(*[64 << 10]byte)
	defer scratch.Put(buffer)
	for pos := 0; pos < n; pos += len(buffer) {
		part := buffer[:min(len(buffer), n-pos)]
		if err := c.unit.volume.ReadAt(part, c.offset()+int64(pos), w); err != nil {
			return err
		}
		if err := f(part, pos); err != nil {
			return err
		}
	}
	return nil
}
