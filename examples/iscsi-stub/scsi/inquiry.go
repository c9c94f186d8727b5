package scsi

import (
	"encoding/binary"
	"slices"
)

// inquiring: what the unit is.
var inquiring = []row{
	{
		op: 0x12, action: none, name: "INQUIRY", usage: "12 01 FF FF FF 00",
		does: anywhere | ignoresAttention | anybodys, check: inquiry,
	},
}

// inquiry (SPC-4, 6.6) gives the standard data, or a page of vital product data.
func inquiry(c *Command) {
	allocation := int(binary.BigEndian.Uint16(c.CDB[3:]))
	page := c.CDB[2]
	vital := c.CDB[1]&0x01 != 0
	switch {
	case !vital && page != 0:
		c.badField(2, 7)
	case !vital:
		c.answer(c.standardInquiry(c.in[:0]), allocation)
	case c.unit == nil:
		c.badField(2, 7)
	default:
		c.vitalProductData(page, allocation)
	}
}

// The peripheral qualifier and device type (SPC-4, 6.6.2).
const (
	directAccess = 0x00 // a direct-access block device is there
	nothingHere  = 0x7F // no device can be there, of no type
)

// versionDescriptors is what the unit conforms to (SPC-4, annex D.8): SAM-5, iSCSI, SPC-4, SBC-3.
var versionDescriptors = []uint16{0x00A0, 0x0960, 0x0460, 0x04C0}

// standardInquiry is the standard INQUIRY data (SPC-4, 6.6.2).
func (c *Command) standardInquiry(b []byte) []byte {
	b = append(b, make([]byte, 96)...)
	b[0] = nothingHere
	b[2] = 0x06 // SPC-4
	b[3] = 0x12 // HISUP; response data format 2
	b[4] = byte(len(b) - 5)
	if c.unit == nil {
		return b
	}
	b[0] = directAccess
	if c.unit.volume.Profile().Removable {
		b[1] = 0x80 // RMB
	}
	b[5] = 0x18 // TPGS: implicit; 3PC
	if len(c.nexus.device.ports) > 1 {
		b[6] = 0x10 // MULTIP
	}
	b[7] = 0x02 // CMDQUE
	id := &c.unit.id
	copy(b[8:], id.vendor[:])
	copy(b[16:], id.product[:])
	copy(b[32:], id.revision[:])
	for i, version := range versionDescriptors {
		binary.BigEndian.PutUint16(b[58+2*i:], version)
	}
	return b
}

// vitalPage is a page of vital product data.
type vitalPage struct {
	code byte
	// build appends the page behind its four bytes of header.
	build func(c *Command, b []byte) []byte
}

// vitalPages is the pages that there are, by their codes. Page 00h lists them.
var vitalPages []vitalPage

func init() {
	vitalPages = []vitalPage{
		{0x00, (*Command).vitalPageList},
		{0x80, (*Command).vitalSerialNumber},
		{0x83, (*Command).vitalIdentification},
		{0x86, (*Command).vitalExtended},
		{0x8F, (*Command).vitalThirdParty},
		{0xB0, (*Command).vitalBlockLimits},
		{0xB1, (*Command).vitalCharacteristics},
		{0xB2, (*Command).vitalProvisioning},
	}
}

// vitalProductData answers with a page.
func (c *Command) vitalProductData(code byte, allocation int) {
	i := slices.IndexFunc(vitalPages, func(p vitalPage) bool { return p.code == code })
	if i < 0 {
		c.badField(2, 7)
		return
	}
	b := append(c.in[:0], directAccess, code, 0, 0)
	b = vitalPages[i].build(c, b)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	c.answer(b, allocation)
}

// vitalPageList is page 00h, supported VPD pages (SPC-4, 7.8.13).
func (c *Command) vitalPageList(b []byte) []byte {
	for _, p := range vitalPages {
		b = append(b, p.code)
	}
	return b
}

// vitalSerialNumber is page 80h, unit serial number (SPC-4, 7.8.16).
func (c *Command) vitalSerialNumber(b []byte) []byte { return append(b, c.unit.id.serial...) }

// vitalExtended is page 86h, extended INQUIRY data (SPC-4, 7.8.7).
func (c *Command) vitalExtended(b []byte) []byte {
	page := append(b, make([]byte, 60)...)
	p := page[len(b)-4:]
	p[5] = 0x07 // HEADSUP, ORDSUP, SIMPSUP
	p[6] = 0x01 // V_SUP: there is a volatile cache
	p[7] = 0x01 // LUICLR: a unit attention is told to one nexus, and cleared for that one
	return page
}

// vitalBlockLimits is page B0h, block limits (SBC-3, 6.6.4).
func (c *Command) vitalBlockLimits(b []byte) []byte {
	l := &c.unit.limits
	page := append(b, make([]byte, 60)...)
	p := page[len(b)-4:]
	p[4] = flag(c.unit.nonZero, 0x01) // WSNZ
	p[5] = byte(l.compare)
	binary.BigEndian.PutUint16(p[6:], uint16(l.granularity)) // of an optimal transfer
	binary.BigEndian.PutUint32(p[8:], uint32(l.transfer))
	binary.BigEndian.PutUint32(p[12:], uint32(l.optimal))
	if c.unit.thin() {
		binary.BigEndian.PutUint32(p[20:], uint32(l.unmap))
		binary.BigEndian.PutUint32(p[24:], uint32(l.ranges))
		binary.BigEndian.PutUint32(p[28:], uint32(l.granularity))
		binary.BigEndian.PutUint32(p[32:], 1<<31) // UGAVALID, alignment 0
	}
	binary.BigEndian.PutUint64(p[36:], l.writeSame)
	binary.BigEndian.PutUint32(p[44:], uint32(l.atomic))
	// Alignment and granularity of atomic writes: none needed. With a boundary: none.
	return page
}

// vitalCharacteristics is page B1h, block device characteristics (SBC-3, 6.6.2): a medium
// that does not rotate.
func (c *Command) vitalCharacteristics(b []byte) []byte {
	page := append(b, make([]byte, 60)...)
	binary.BigEndian.PutUint16(page[len(b):], 1)
	// 01b: what SANITIZE has erased can be read.
	if c.unit.thin() {
		page[len(b)+3] |= 0x40 // WABEREQ
	}
	if c.unit.volume.Profile().Encrypted {
		page[len(b)+3] |= 0x10 // WACEREQ
	}
	return page
}

// vitalProvisioning is page B2h, logical block provisioning (SBC-3, 6.6.5).
func (c *Command) vitalProvisioning(b []byte) []byte {
	if !c.unit.thin() {
		return append(b, 0, 0, 0, 0)
	}
	const lbpu, lbpws, lbpws10, lbprz, thin = 0x80, 0x40, 0x20, 0x04, 0x02
	return append(b, 0, lbpu|lbpws|lbpws10|lbprz, thin, 0)
}

// thin tells whether blocks can be given back.
func (u *Unit) thin() bool { return u.volume.Profile().Thin }
