package scsi

import "encoding/binary"

// defects: READ DEFECT DATA (SBC-3, 5.17, 5.18). There are none, in any format and in
// either list.
var defects = []row{
	{
		op: 0x37, action: none, name: "READ DEFECT DATA(10)", usage: "37 00 1F 00 00 00 00 FF FF 00",
		does: reads, check: readDefectData10,
	},
	{
		op: 0xB7, action: none, name: "READ DEFECT DATA(12)", usage: "B7 1F FF FF FF FF FF FF FF FF 00 00",
		does: reads, check: readDefectData12,
	},
}

func readDefectData10(c *Command) {
	c.answer(append(c.in[:0], 0, c.CDB[2], 0, 0), int(binary.BigEndian.Uint16(c.CDB[7:])))
}

func readDefectData12(c *Command) {
	c.answer(append(c.in[:0], 0, c.CDB[1], 0, 0, 0, 0, 0, 0), int(binary.BigEndian.Uint32(c.CDB[6:])))
}
