package scsi

import (
	"encoding/binary"
	"maps"
	"slices"
)

// listing: which units there are.
var listing = []row{
	{
		op: 0xA0, action: none, name: "REPORT LUNS", usage: "A0 00 FF 00 00 00 FF FF FF FF 00 00",
		does: anywhere | ignoresAttention | anybodys, check: reportLUNs,
	},
}

// reportLUNs (SPC-4, 6.33) lists the logical unit numbers of the nexus. There are no
// well-known logical units here, no administrative ones and no subsidiary ones.
func reportLUNs(c *Command) {
	allocation := binary.BigEndian.Uint32(c.CDB[6:])
	if allocation < 16 {
		c.badField(6, -1)
		return
	}
	paths := *c.nexus.paths.Load()
	b := append(c.in[:0], make([]byte, 8)...)
	switch c.CDB[2] {
	case 0x00, 0x02, 0x11: // with the usual addressing; all; those that are not subsidiary
		for _, lun := range slices.Sorted(maps.Keys(paths)) {
			b = appendLUN(b, lun)
		}
	case 0x01, 0x10: // well-known; administrative
	default:
		c.badField(2, 7)
		return
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	for _, p := range paths {
		p.clear(ReportedLUNsDataChanged)
	}
	c.answer(b, int(allocation))
}
