package scsi

import "encoding/binary"

const (
	reserveInUsage = " 00 00 00 00 00 FF FF 00"
	seesAll        = actsOnReservations | underWriteExclusive | underExclusiveAccess
)

// reserveIn: PERSISTENT RESERVE IN (SPC-4, 6.15).
var reserveIn = []row{
	{op: 0x5E, action: 0x00, name: "PERSISTENT RESERVE IN, READ KEYS", usage: "5E 00" + reserveInUsage, does: seesAll, check: readKeys},
	{op: 0x5E, action: 0x01, name: "PERSISTENT RESERVE IN, READ RESERVATION", usage: "5E 01" + reserveInUsage, does: seesAll, check: readReservation},
	{op: 0x5E, action: 0x02, name: "PERSISTENT RESERVE IN, REPORT CAPABILITIES", usage: "5E 02" + reserveInUsage, does: seesAll, check: reportCapabilities},
	{op: 0x5E, action: 0x03, name: "PERSISTENT RESERVE IN, READ FULL STATUS", usage: "5E 03" + reserveInUsage, does: seesAll, check: readFullStatus},
}

// answerReservations answers with a list behind the generation and the list's length,
// which is that of the whole list however little of it there is room for.
func (c *Command) answerReservations(list func(r *reservations, b []byte) []byte) {
	r := c.unit.reserving.persistent.Load()
	b := append(c.in[:0], make([]byte, 8)...)
	binary.BigEndian.PutUint32(b, r.generation)
	b = list(r, b)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	c.answer(b, int(binary.BigEndian.Uint16(c.CDB[7:])))
}

// readKeys (SPC-4, 6.15.2) lists the reservation keys, of each I_T nexus its own.
func readKeys(c *Command) {
	c.answerReservations(func(r *reservations, b []byte) []byte {
		for _, g := range r.registered {
			b = binary.BigEndian.AppendUint64(b, g.key)
		}
		return b
	})
}

// readReservation (SPC-4, 6.15.3) shows the reservation, if there is one.
func readReservation(c *Command) {
	c.answerReservations(func(r *reservations, b []byte) []byte {
		if r.kind == noReservation {
			return b
		}
		b = binary.BigEndian.AppendUint64(b, r.holderKey())
		return append(b, 0, 0, 0, 0, 0, byte(r.kind), 0, 0)
	})
}

// reportCapabilities (SPC-4, 6.15.4) says what is supported: all types, other target ports
// and initiator ports in a REGISTER, and with a keeper persistence through power loss.
func reportCapabilities(c *Command) {
	const (
		crh, sip, atp, ptpl = 0x10, 0x08, 0x04, 0x01
		tmv, tur, active    = 0x80, 0x10, 0x01 // ALLOW COMMANDS 001b: TEST UNIT READY always
	)
	b := append(c.in[:0], 0, 8, crh|sip|atp, tmv|tur, 0xEA, 0x01, 0, 0)
	if c.unit.keeper != nil {
		b[2] |= ptpl
	}
	if c.unit.reserving.persistent.Load().aptpl {
		b[3] |= active
	}
	c.answer(b, int(binary.BigEndian.Uint16(c.CDB[7:])))
}

// readFullStatus (SPC-4, 6.15.5) shows each registration with the names of its nexus.
func readFullStatus(c *Command) {
	c.answerReservations(func(r *reservations, b []byte) []byte {
		for _, g := range r.registered {
			b = binary.BigEndian.AppendUint64(b, g.key)
			holds, kind := byte(0), byte(0)
			if r.holds(g.nexus) {
				holds, kind = 1, byte(r.kind)
			}
			id := appendTransportID(nil, g.nexus.initiator)
			b = append(b, 0, 0, 0, 0, holds, kind, 0, 0, 0, 0)
			b = binary.BigEndian.AppendUint16(b, g.nexus.target)
			b = binary.BigEndian.AppendUint32(b, uint32(len(id)))
			b = append(b, id...)
		}
		return b
	})
}
