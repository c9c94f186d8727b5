package scsi

import (
	"encoding/hex"
	"fmt"
)

// identity is what a unit says of itself, padded as INQUIRY has it.
type identity struct {
	vendor   [8]byte
	product  [16]byte
	revision [4]byte
	serial   string
	naa      [8]byte // NAA locally assigned (SPC-4, 7.8.6.6.4), from the volume's ID
}

// newIdentity fills in what the configuration leaves open.
func newIdentity(config UnitConfig) identity {
	volumeID := config.Volume.ID()
	id := identity{serial: config.Serial}
	if id.serial == "" {
		id.serial = hex.EncodeToString(volumeID[:])
	}
	pad(id.vendor[:], config.Vendor, "NSREACTR")
	pad(id.product[:], config.Product, "ISCSI STUB")
	pad(id.revision[:], config.Revision, "1")
	copy(id.naa[:], volumeID[:])
	id.naa[0] = 0x30 | id.naa[0]&0x0F
	return id
}

// pad copies s, or if it is empty the default, and fills up with spaces.
func pad(b []byte, s, byDefault string) {
	if s == "" {
		s = byDefault
	}
	copy(b, fmt.Sprintf("%-*s", len(b), s))
}
