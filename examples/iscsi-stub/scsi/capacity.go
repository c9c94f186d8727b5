package scsi

import (
	"encoding/binary"
	"math/bits"
)

// capacities: READ CAPACITY (SBC-3, 5.15, 5.16).
var capacities = []row{
	{
		op: 0x25, action: none, name: "READ CAPACITY(10)", usage: "25 00 00 00 00 00 00 00 00 00",
		does: needsMedium | anybodys, check: readCapacity10,
	},
	{
		op: 0x9E, action: 0x10, name: "READ CAPACITY(16)", usage: "9E 10 00 00 00 00 00 00 00 00 FF FF FF FF 00 00",
		does: needsMedium | anybodys, check: readCapacity16,
	},
}

// readCapacity10 sends who has a larger medium to READ CAPACITY(16), by FFFFFFFFh.
func readCapacity10(c *Command) {
	last := min(c.unit.volume.Blocks()-1, 0xFFFFFFFF)
	b := binary.BigEndian.AppendUint32(c.in[:0], uint32(last))
	c.answer(binary.BigEndian.AppendUint32(b, uint32(c.blockSize())), 8)
}

func readCapacity16(c *Command) {
	b := append(c.in[:0], make([]byte, 32)...)
	binary.BigEndian.PutUint64(b, c.unit.volume.Blocks()-1)
	binary.BigEndian.PutUint32(b[8:], uint32(c.blockSize()))
	b[13] = byte(bits.TrailingZeros64(c.unit.limits.granularity)) // logical blocks per physical block exponent
	if c.unit.thin() {
		b[14] = 0xC0 // LBPME, LBPRZ
	}
	c.answer(b, int(binary.BigEndian.Uint32(c.CDB[10:])))
}
