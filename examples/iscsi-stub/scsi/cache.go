package scsi

// caching: SYNCHRONIZE CACHE and PRE-FETCH (SBC-3, 5.23, 5.24, 5.8).
var caching = []row{
	{
		op: 0x35, action: none, name: "SYNCHRONIZE CACHE(10)", usage: "35 02 FF FF FF FF 3F FF FF 00",
		does: needsMedium, check: checkSync, run: runSync,
	},
	{
		op: 0x91, action: none, name: "SYNCHRONIZE CACHE(16)", usage: "91 02 FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: needsMedium, check: checkSync, run: runSync,
	},
	{
		op: 0x34, action: none, name: "PRE-FETCH(10)", usage: "34 02 FF FF FF FF 3F FF FF 00",
		does: reads, check: checkPrefetch,
	},
	{
		op: 0x90, action: none, name: "PRE-FETCH(16)", usage: "90 02 FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: reads, check: checkPrefetch,
	},
}

func checkSync(c *Command) {
	c.decodeRange()
	c.inRange()
}

// runSync writes the whole cache to the medium, whatever range was asked for. With IMMED
// the status may come earlier; here it never says more than is true.
func runSync(c *Command, w Wait) bool { return c.finish(c.unit.volume.Sync(w)) }

// checkPrefetch checks, and that is all: GOOD says that the blocks did not all fit into a
// cache (SBC-3, 5.8).
func checkPrefetch(c *Command) {
	c.decodeRange()
	c.inRange()
}
