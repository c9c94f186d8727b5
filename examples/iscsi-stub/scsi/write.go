package scsi

// writing: WRITE and WRITE AND VERIFY (SBC-3, 5.33 to 5.40).
var writing = []row{
	{
		op: 0x0A, action: none, name: "WRITE(6)", usage: "0A 1F FF FF FF 00",
		does: needsMedium | writes, check: checkWrite, run: runWrite,
	},
	{
		op: 0x2A, action: none, name: "WRITE(10)", usage: "2A 1A FF FF FF FF 3F FF FF 00",
		does: needsMedium | writes, check: checkWrite, run: runWrite,
	},
	{
		op: 0xAA, action: none, name: "WRITE(12)", usage: "AA 1A FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWrite, run: runWrite,
	},
	{
		op: 0x8A, action: none, name: "WRITE(16)", usage: "8A 1A FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWrite, run: runWrite,
	},
	{
		op: 0x2E, action: none, name: "WRITE AND VERIFY(10)", usage: "2E 16 FF FF FF FF 3F FF FF 00",
		does: needsMedium | writes, check: checkWriteVerify, run: runWriteVerify,
	},
	{
		op: 0xAE, action: none, name: "WRITE AND VERIFY(12)", usage: "AE 16 FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWriteVerify, run: runWriteVerify,
	},
	{
		op: 0x8E, action: none, name: "WRITE AND VERIFY(16)", usage: "8E 16 FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium | writes, check: checkWriteVerify, run: runWriteVerify,
	},
}

func checkWrite(c *Command) {
	if c.takeRange(c.unit.limits.transfer) {
		c.OutLen = c.size()
		c.moved = c.OutLen
		c.durable = c.CDB[0] != 0x0A && c.CDB[1]&forceUnitAccess != 0
	}
}

func runWrite(c *Command, w Wait) bool {
	if !c.wholeBlocks() {
		return true
	}
	return c.finish(c.unit.volume.WriteAt(c.Out, c.offset(), c.durable, w))
}

// checkWriteVerify knows two ways to verify: that the blocks can be read, and that they
// hold what was written.
func checkWriteVerify(c *Command) {
	if mode := byteCheck(c); mode == byteCheckNone || mode == byteCheckAll {
		checkWrite(c)
	} else {
		c.badField(1, 2)
	}
}

func runWriteVerify(c *Command, w Wait) bool {
	c.durable = true
	if !runWrite(c, w) {
		return false
	}
	return c.failed() || runVerify(c, w)
}
