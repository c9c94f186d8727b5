package scsi

// readiness: is the unit there, and what does it have to say.
var readiness = []row{
	{
		op: 0x00, action: none, name: "TEST UNIT READY", usage: "00 00 00 00 00 00",
		does: needsMedium | underWriteExclusive | underExclusiveAccess, check: func(*Command) {},
	},
	{
		op: 0x03, action: none, name: "REQUEST SENSE", usage: "03 01 00 00 FF 00",
		does: anywhere | ignoresAttention | anybodys, check: requestSense,
	},
}

// requestSense (SPC-4, 6.39) answers with sense data as parameter data: the unit attention
// that is pending, or why the medium is not ready.
func requestSense(c *Command) {
	descriptor := c.CDB[1]&0x01 != 0
	c.answer(c.currentSense().Append(c.in[:0], descriptor), int(c.CDB[4]))
}

func (c *Command) currentSense() Sense {
	if c.unit == nil {
		return Sense{Key: IllegalRequest, Code: LogicalUnitNotSupported}
	}
	if code, ok := c.path.take(); ok {
		return Sense{Key: UnitAttention, Code: code}
	}
	if why := c.unit.unready.Load(); why != nil {
		return *why
	}
	return Sense{}
}
