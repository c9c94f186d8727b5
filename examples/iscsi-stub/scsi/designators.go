package scsi

// What a designator names (SPC-4, 7.8.6.1), and in which code set.
const (
	ofUnit = 0x00 << 4

	inBinary = 0x01
	inASCII  = 0x02

	typeT10 = 0x01
	typeNAA = 0x03
)

// vitalIdentification is page 83h, device identification (SPC-4, 7.8.6): the names of the
// unit, of the port it was asked through, and of the device.
func (c *Command) vitalIdentification(b []byte) []byte {
	id := &c.unit.id
	b = appendDesignator(b, ofUnit|typeNAA, inBinary, id.naa[:])
	b = appendDesignator(b, ofUnit|typeT10, inASCII, append(id.vendor[:], id.serial...))
	return b
}

// appendDesignator appends a designation descriptor.
func appendDesignator(b []byte, kind, codeSet byte, name []byte) []byte {
	b = append(b, codeSet, kind, 0, byte(len(name)))
	return append(b, name...)
}
