package scsi

import "bytes"

// verifying: VERIFY (SBC-3, 5.29 to 5.31).
var verifying = []row{
	{
		op: 0x2F, action: none, name: "VERIFY(10)", usage: "2F 16 FF FF FF FF 3F FF FF 00",
		does: reads, check: checkVerify, run: runVerify,
	},
	{
		op: 0xAF, action: none, name: "VERIFY(12)", usage: "AF 16 FF FF FF FF FF FF FF FF 3F 00",
		does: reads, check: checkVerify, run: runVerify,
	},
	{
		op: 0x8F, action: none, name: "VERIFY(16)", usage: "8F 16 FF FF FF FF FF FF FF FF FF FF FF FF 3F 00",
		does: reads, check: checkVerify, run: runVerify,
	},
}

// The values of the BYTCHK field (SBC-3, table 112).
const (
	byteCheckNone = 0 // the blocks can be read
	byteCheckAll  = 1 // they are the data-out
	byteCheckOne  = 3 // each of them is the data-out, which is one block
)

func byteCheck(c *Command) byte { return c.CDB[1] >> 1 & 3 }

func checkVerify(c *Command) {
	mode := byteCheck(c)
	if mode == 2 {
		c.badField(1, 2)
		return
	}
	if !c.takeRange(c.unit.limits.transfer) {
		return
	}
	c.moved = c.size()
	switch {
	case mode == byteCheckAll:
		c.OutLen = c.moved
	case mode == byteCheckOne && c.blocks > 0:
		c.OutLen = c.blockSize()
	}
}

func runVerify(c *Command, w Wait) bool {
	switch byteCheck(c) {
	case byteCheckAll:
		if !c.wholeBlocks() {
			return true
		}
	case byteCheckOne:
		if !c.complete() {
			return true
		}
	}
	return c.finish(c.eachPart(w, c.compare))
}

// compare compares a part of the medium with the data-out, by what BYTCHK says.
func (c *Command) compare(part []byte, pos int) error {
	switch byteCheck(c) {
	case byteCheckAll:
		if want := c.Out[pos : pos+len(part)]; !bytes.Equal(part, want) {
			return miscompare(pos + firstDifference(part, want))
		}
	case byteCheckOne:
		for i := 0; i < len(part); i += len(c.Out) {
			if block := part[i : i+len(c.Out)]; !bytes.Equal(block, c.Out) {
				return miscompare(pos + i + firstDifference(block, c.Out))
			}
		}
	}
	return nil
}

// miscompare is MISCOMPARE DURING VERIFY OPERATION, with the offset of the first byte that
// differs in INFORMATION (SBC-3, 5.2).
func miscompare(offset int) Sense {
	return Sense{Key: Miscompare, Code: MiscompareDuringVerify}.with(uint64(offset))
}

// firstDifference is where two slices of the same length differ first.
func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}
