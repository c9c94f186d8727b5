package scsi

// What a designator names (SPC-4, 7.8.6.1), and in which code set.
const (
	ofUnit   = 0x00 << 4
	ofPort   = 0x80 | 0x01<<4 // PIV: with the protocol
	ofDevice = 0x80 | 0x02<<4

	inBinary = 0x01
	inASCII  = 0x02
	inUTF8   = 0x03

	typeT10   = 0x01
	typeNAA   = 0x03
	typePort  = 0x04 // relative target port identifier
	typeGroup = 0x05 // target port group
	typeName  = 0x08 // SCSI name string

	iscsiProtocol = 0x05 << 4
)

// vitalIdentification is page 83h, device identification (SPC-4, 7.8.6): the names of the
// unit, of the port it was asked through, and of the device.
func (c *Command) vitalIdentification(b []byte) []byte {
	id := &c.unit.id
	b = appendDesignator(b, ofUnit|typeNAA, inBinary, id.naa[:])
	b = appendDesignator(b, ofUnit|typeT10, inASCII, append(id.vendor[:], id.serial...))
	port := c.nexus.port
	b = appendDesignator(b, ofPort|typePort, iscsiProtocol|inBinary, []byte{0, 0, byte(port >> 8), byte(port)})
	b = appendDesignator(b, ofPort|typeGroup, iscsiProtocol|inBinary, []byte{0, 0, 0, portGroup})
	for _, p := range c.nexus.device.ports {
		if p.ID == port {
			b = appendDesignator(b, ofPort|typeName, iscsiProtocol|inUTF8, nameString(p.Name))
		}
	}
	return appendDesignator(b, ofDevice|typeName, iscsiProtocol|inUTF8, nameString(c.nexus.device.name))
}

// nameString ends a name with a zero and pads it to a multiple of four bytes (SPC-4, 7.8.6.11).
func nameString(name string) []byte {
	b := append([]byte(name), 0)
	return append(b, make([]byte, -len(b)&3)...)
}

// appendDesignator appends a designation descriptor.
func appendDesignator(b []byte, kind, codeSet byte, name []byte) []byte {
	b = append(b, codeSet, kind, 0, byte(len(name)))
	return append(b, name...)
}
