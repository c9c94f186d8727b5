package scsi

import "encoding/binary"

// portGroup is the one target port group: all ports lead to the unit alike, and initiators
// cannot change that (TPGS is 01b: implicit asymmetric access, SPC-4, 5.15.2).
const portGroup = 1

// portGroups: REPORT TARGET PORT GROUPS (SPC-4, 6.37).
var portGroups = []row{
	{
		op: 0xA3, action: 0x0A, name: "REPORT TARGET PORT GROUPS", usage: "A3 EA 00 00 00 00 FF FF FF FF 00 00",
		does: anybodys, check: reportPortGroups,
	},
}

// reportPortGroups answers with the group and its ports, active and optimized; with the
// extended header if it is asked for.
func reportPortGroups(c *Command) {
	const activeOptimized, supportsActiveOptimized = 0x00, 0x01
	b := append(c.in[:0], 0, 0, 0, 0)
	switch c.CDB[1] >> 5 {
	case 0:
	case 1:
		b = append(b, 0x10, 0, 0, 0) // no time is lost in implicit transitions
	default:
		c.badField(1, 7)
		return
	}
	ports := c.nexus.device.ports
	b = append(b, activeOptimized, supportsActiveOptimized, 0, portGroup, 0, 0, 0, byte(len(ports)))
	for _, p := range ports {
		b = append(b, 0, 0)
		b = binary.BigEndian.AppendUint16(b, p.ID)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.answer(b, int(binary.BigEndian.Uint32(c.CDB[6:])))
}
