package scsi

import (
	"encoding/binary"
	"time"
)

// supporting: what the unit supports (SPC-4, 6.35, 6.36).
var supporting = []row{
	{
		op: 0xA3, action: 0x0C, name: "REPORT SUPPORTED OPERATION CODES", usage: "A3 0C 87 FF FF FF FF FF FF FF 00 00",
		does: underWriteExclusive, check: reportOpcodes,
	},
	{
		op: 0xA3, action: 0x0D, name: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", usage: "A3 0D 80 00 00 00 FF FF FF FF 00 00",
		does: underWriteExclusive, check: reportManagement,
	},
}

// What REPORTING OPTIONS asks for (SPC-4, table 252).
const (
	reportAll    = 0
	reportOpcode = 1 // of an operation code without service actions
	reportAction = 2 // of a service action
	reportEither = 3
)

func reportOpcodes(c *Command) {
	timeouts := c.CDB[2]&0x80 != 0
	op, action := c.CDB[3], int(binary.BigEndian.Uint16(c.CDB[4:]))
	hasActions := opcodes[op].hasActions
	var b []byte
	switch option := c.CDB[2] & 0x07; {
	case option == reportAll:
		b = c.allOpcodes(timeouts)
	case option > reportEither:
		c.badField(2, 2)
		return
	case option == reportOpcode && hasActions, option == reportAction && len(opcodes[op].rows) > 0 && !hasActions:
		c.badField(2, 2)
		return
	case !hasActions:
		b = c.oneOpcode(op, none, timeouts)
	default:
		b = c.oneOpcode(op, action, timeouts)
	}
	c.answer(b, int(binary.BigEndian.Uint32(c.CDB[6:])))
}

// allOpcodes lists every command (SPC-4, 6.35.2).
func (c *Command) allOpcodes(timeouts bool) []byte {
	b := append(c.in[:0], 0, 0, 0, 0)
	for op := range opcodes {
		for _, r := range opcodes[op].rows {
			if c.unit.has(r) {
				b = r.describe(b, timeouts)
			}
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// describe appends a command descriptor.
func (r *row) describe(b []byte, timeouts bool) []byte {
	var flags byte
	if r.action != none {
		flags |= 0x01 // SERVACTV
	}
	if timeouts {
		flags |= 0x02 // CTDP
	}
	b = append(b, r.op, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(max(r.action, 0)))
	b = append(b, 0, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.mask)))
	if timeouts {
		b = r.appendTimeouts(b)
	}
	return b
}

// oneOpcode shows the CDB of a command (SPC-4, 6.35.3).
func (c *Command) oneOpcode(op byte, action int, timeouts bool) []byte {
	b := append(c.in[:0], 0, 0x01, 0, 0) // not supported
	for _, r := range opcodes[op].rows {
		if r.action != action || !c.unit.has(r) {
			continue
		}
		b[1] = 0x03 // supported as the standard has it
		if timeouts {
			b[1] |= 0x80 // CTDP
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(r.mask)))
		b = append(b, r.mask...)
		if timeouts {
			b = r.appendTimeouts(b)
		}
	}
	return b
}

// appendTimeouts appends a command timeouts descriptor (SPC-4, 6.35.4).
func (r *row) appendTimeouts(b []byte) []byte {
	wait := r.timeout
	if wait == 0 {
		wait = 30 * time.Second
	}
	b = append(b, 0x00, 0x0A, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 0) // nominal: not said
	return binary.BigEndian.AppendUint32(b, uint32(wait/time.Second))
}

// reportManagement: ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET.
func reportManagement(c *Command) {
	allocation := int(binary.BigEndian.Uint32(c.CDB[6:]))
	if allocation < 4 {
		c.badField(6, -1)
		return
	}
	b := append(c.in[:0], 0xDA, 0, 0, 0)
	if c.CDB[2]&0x80 != 0 { // REPD
		b[3] = 0x0C
		b = append(b, make([]byte, 12)...)
	}
	c.answer(b, allocation)
}
