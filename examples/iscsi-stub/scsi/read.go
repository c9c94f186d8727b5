package scsi

// reading: READ (SBC-3, 5.8 to 5.11).
var reading = []row{
	{
		op: 0x08, action: none, name: "READ(6)", usage: "08 1F FF FF FF 00",
		does: reads, check: checkRead, run: runRead,
	},
	{
		op: 0x28, action: none, name: "READ(10)", usage: "28 1A FF FF FF FF 3F FF FF 00",
		does: reads, check: checkRead, run: runRead,
	},
	{
		op: 0xA8, action: none, name: "READ(12)", usage: "A8 1A FF FF FF FF FF FF FF FF 3F 00",
		does: reads, check: checkRead, run: runRead,
	},
	{
		op: 0x88, action: none, name: "READ(16)", usage: "88 1A FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: reads, check: checkRead, run: runRead,
	},
}

func checkRead(c *Command) {
	if c.takeRange(c.unit.limits.transfer) {
		c.moved = c.size()
	}
}

// runRead leaves the reading to ReadIn, which puts it where it is sent from. What FUA asks
// for, that data in the cache be on the medium first, is the volume's to do.
func runRead(c *Command, w Wait) bool {
	if c.CDB[0] != 0x08 && c.CDB[1]&forceUnitAccess != 0 {
		if !c.finish(c.unit.volume.Sync(w)) || c.failed() {
			return c.failed()
		}
	}
	c.medium, c.InLen = true, c.size()
	return true
}

// readMedium reads data-in from the volume: whole blocks straight into p, and what begins
// or ends within a block by way of a buffer.
func (c *Command) readMedium(p []byte, pos int, w Wait) bool {
	err := c.readBytes(p, c.offset()+int64(pos), w)
	if err == nil {
		return true
	}
	c.finish(err)
	return false
}

func (c *Command) readBytes(p []byte, off int64, w Wait) error {
	block := int64(c.blockSize())
	if off%block == 0 && int64(len(p))%block == 0 {
		return c.unit.volume.ReadAt(p, off, w)
	}
	buffer := scratch.Get().(*[64 << 10]byte)
	defer scratch.Put(buffer)
	for len(p) > 0 {
		within := off % block
		if whole := int64(len(p)) / block * block; within == 0 && whole > 0 {
			if err := c.unit.volume.ReadAt(p[:whole], off, w); err != nil {
				return err
			}
			p, off = p[whole:], off+whole
			continue
		}
		if err := c.unit.volume.ReadAt(buffer[:block], off-within, w); err != nil {
			return err
		}
		n := copy(p, buffer[within:block])
		p, off = p[n:], off+int64(n)
	}
	return nil
}
