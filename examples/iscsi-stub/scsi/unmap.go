package scsi

import "encoding/binary"

// unmapping: blocks that are given back, and which are (SBC-3, 5.28, 5.5).
var unmapping = []row{
	{
		op: 0x42, action: none, name: "UNMAP", usage: "42 00 00 00 00 00 3F FF FF 00",
		does: needsMedium | writes | thinOnly, check: checkUnmap, run: runUnmap,
	},
	{
		op: 0x9E, action: 0x12, name: "GET LBA STATUS", usage: "9E 12 FF FF FF FF FF FF FF FF FF FF FF FF 00 00",
		does: reads, check: checkLBAStatus, run: runLBAStatus,
	},
}

const (
	unmapHeader     = 8
	unmapDescriptor = 16
)

func checkUnmap(c *Command) {
	c.OutLen = int(binary.BigEndian.Uint16(c.CDB[7:]))
	if c.OutLen > 0 && c.OutLen < unmapHeader {
		c.fail(IllegalRequest, ParameterListLengthError)
	}
}

// runUnmap gives back what the list names, all of it or, if an entry is wrong, nothing.
func runUnmap(c *Command, w Wait) bool {
	list, ok := c.unmapList()
	if w == DontWait && c.total(list) > inlineMost {
		return false
	}
	for ; ok && len(list) > 0; list = list[unmapDescriptor:] {
		off, n := c.extent(list)
		if n == 0 {
			continue
		}
		if err := c.unit.volume.Unmap(off, n, w); err != nil {
			return c.finish(err)
		}
	}
	return true
}

// total is how many bytes the list's descriptors are together.
func (c *Command) total(list []byte) (total int64) {
	for ; len(list) > 0; list = list[unmapDescriptor:] {
		_, n := c.extent(list)
		total += n
	}
	return total
}

// extent decodes an unmap block descriptor, in bytes of the volume.
func (c *Command) extent(d []byte) (off, n int64) {
	block := int64(c.blockSize())
	return int64(binary.BigEndian.Uint64(d)) * block, int64(binary.BigEndian.Uint32(d[8:])) * block
}

// unmapList checks the parameter list (SBC-3, table 107), and returns its descriptors. An
// entry that is cut off does not count.
func (c *Command) unmapList() (list []byte, ok bool) {
	if !c.complete() {
		return nil, false
	}
	if len(c.Out) == 0 {
		return nil, true
	}
	list = c.Out[unmapHeader:]
	list = list[:min(len(list), int(binary.BigEndian.Uint16(c.Out[2:])))]
	list = list[:len(list)/unmapDescriptor*unmapDescriptor]
	if uint64(len(list)/unmapDescriptor) > c.unit.limits.ranges {
		c.badParameter(2, -1)
		return nil, false
	}
	size, total := c.unit.volume.Blocks(), uint64(0)
	for i := 0; i < len(list); i += unmapDescriptor {
		lba, n := binary.BigEndian.Uint64(list[i:]), uint64(binary.BigEndian.Uint32(list[i+8:]))
		if lba > size || n > size-lba {
			c.check(Sense{Key: IllegalRequest, Code: LBAOutOfRange}.with(lba))
			return nil, false
		}
		if total += n; total > c.unit.limits.unmap {
			c.badParameter(unmapHeader+i+8, -1)
			return nil, false
		}
	}
	return list, true
}

// mostStatus is how many LBA status descriptors an answer has at most.
const mostStatus = 1024

func checkLBAStatus(c *Command) {
	c.lba = binary.BigEndian.Uint64(c.CDB[2:])
	c.inRange()
}

// runLBAStatus answers with as many descriptors as there is room for, and at least one.
func runLBAStatus(c *Command, w Wait) bool {
	allocation := int(binary.BigEndian.Uint32(c.CDB[10:]))
	b := append(c.in[:0], make([]byte, 8)...)
	block := int64(c.blockSize())
	for lba := c.lba; lba < c.unit.volume.Blocks(); {
		mapped, n, err := c.unit.volume.Status(int64(lba)*block, w)
		if err != nil {
			return c.finish(err)
		}
		blocks := min(uint64(n/block), 0xFFFFFFFF)
		b = binary.BigEndian.AppendUint64(b, lba)
		b = binary.BigEndian.AppendUint32(b, uint32(blocks))
		b = append(b, provisioning(mapped), 0, 0, 0)
		lba += blocks
		if blocks == 0 || len(b)+16 > min(allocation, 8+16*mostStatus) {
			break
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.answer(b, allocation)
	return true
}

// provisioning is the provisioning status (SBC-3, table 42).
func provisioning(mapped bool) byte {
	if mapped {
		return 0
	}
	return 1 // deallocated
}
