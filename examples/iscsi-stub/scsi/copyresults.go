package scsi

import "encoding/binary"

const copyResultUsage = " 00 00 00 00 00 00 00 FF FF FF FF 00 00"

// copyResults: RECEIVE COPY RESULTS (SPC-4, 6.26 to 6.29).
var copyResults = []row{
	{op: 0x84, action: 0x00, name: "RECEIVE COPY STATUS(LID1)", usage: "84 00 FF" + copyResultUsage, does: underWriteExclusive, check: receiveCopyStatus},
	{op: 0x84, action: 0x01, name: "RECEIVE COPY DATA(LID1)", usage: "84 01 FF" + copyResultUsage, does: underWriteExclusive, check: receiveCopyData},
	{op: 0x84, action: 0x03, name: "RECEIVE COPY OPERATING PARAMETERS", usage: "84 03 00" + copyResultUsage, does: underWriteExclusive, check: receiveCopyParameters},
	{op: 0x84, action: 0x04, name: "RECEIVE COPY FAILURE DETAILS(LID1)", usage: "84 04 FF" + copyResultUsage, does: underWriteExclusive, check: receiveCopyFailure},
}

// answerCopy answers with parameter data that begins with its length.
func (c *Command) answerCopy(b []byte) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.answer(b, int(binary.BigEndian.Uint32(c.CDB[10:])))
}

// heldCopy is the result that the CDB's list identifier names, or ends the command.
func (c *Command) heldCopy() (r copyResult, ok bool) {
	c.path.copies.mu.Lock()
	defer c.path.copies.mu.Unlock()
	held := c.path.copies.held[c.CDB[2]]
	if held == nil {
		c.badField(2, -1)
		return r, false
	}
	return *held, true
}

// receiveCopyStatus (SPC-4, 6.29) tells how far a copy is.
func receiveCopyStatus(c *Command) {
	r, ok := c.heldCopy()
	if !ok {
		return
	}
	const completed, failed, inKiB = 0x01, 0x02, 0x01
	b := append(c.in[:0], make([]byte, 12)...)
	switch {
	case r.running:
	case len(r.sense) > 0:
		b[4] = failed
	default:
		b[4] = completed
	}
	binary.BigEndian.PutUint16(b[5:], uint16(r.segments))
	count := r.bytes
	if count > 0xFFFFFFFF || count%1024 == 0 {
		b[7], count = inKiB, count>>10
	}
	binary.BigEndian.PutUint32(b[8:], uint32(count))
	c.answerCopy(b)
}

// receiveCopyData (SPC-4, 6.26): no segment that is supported holds data.
func receiveCopyData(c *Command) {
	if _, ok := c.heldCopy(); ok {
		c.answerCopy(append(c.in[:0], 0, 0, 0, 0))
	}
}

// receiveCopyFailure (SPC-4, 6.27) shows the sense data of a copy that failed.
func receiveCopyFailure(c *Command) {
	r, ok := c.heldCopy()
	if !ok {
		return
	}
	b := append(c.in[:0], 0, 0, 0, 0)
	if len(r.sense) > 0 {
		b = append(b, make([]byte, 56)...)
		b[56] = byte(CheckCondition)
		binary.BigEndian.PutUint16(b[58:], uint16(len(r.sense)))
		b = append(b, r.sense...)
	}
	c.answerCopy(b)
}

// receiveCopyParameters (SPC-4, 6.28) says what EXTENDED COPY can do.
func receiveCopyParameters(c *Command) {
	b := append(c.in[:0], make([]byte, 44)...)
	b[4] = 0x01 // SNLID: a copy may go without a list identifier
	binary.BigEndian.PutUint16(b[8:], maxCopyUnits)
	binary.BigEndian.PutUint16(b[10:], maxCopySegments)
	binary.BigEndian.PutUint32(b[12:], maxCopyList)
	binary.BigEndian.PutUint32(b[16:], maxCopySegment)
	binary.BigEndian.PutUint16(b[34:], 255) // total concurrent copies
	b[36] = 255                             // of a nexus
	b[37] = 9                               // data segment granularity: 512 bytes
	b = append(b, blockToBlock, blockToBlockAt, unitDescriptor)
	b[43] = 3
	c.answerCopy(b)
}

// vitalThirdParty is page 8Fh, third-party copy (SPC-4, 7.8.17).
func (c *Command) vitalThirdParty(b []byte) []byte {
	commands := []byte{11, 0x83, 1, 0x00, 0x84, 4, 0x00, 0x01, 0x03, 0x04}
	commands[0] = byte(len(commands) - 1)
	b = appendCopyDescriptor(b, 0x0001, commands)
	parameters := make([]byte, 28)
	binary.BigEndian.PutUint16(parameters[4:], maxCopyUnits)
	binary.BigEndian.PutUint16(parameters[6:], maxCopySegments)
	binary.BigEndian.PutUint32(parameters[8:], maxCopyList)
	b = appendCopyDescriptor(b, 0x0004, parameters)
	b = appendCopyDescriptor(b, 0x0008, []byte{3, blockToBlock, blockToBlockAt, unitDescriptor})
	general := make([]byte, 32)
	binary.BigEndian.PutUint32(general, 255)
	binary.BigEndian.PutUint32(general[4:], 255)
	binary.BigEndian.PutUint32(general[8:], maxCopySegment)
	general[12] = 9
	return appendCopyDescriptor(b, 0x8001, general)
}

// appendCopyDescriptor appends a third-party copy descriptor, padded to four bytes.
func appendCopyDescriptor(b []byte, kind uint16, content []byte) []byte {
	padding := -len(content) & 3
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(content)+padding))
	b = append(b, content...)
	return append(b, make([]byte, padding)...)
}
