package initiator

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
)

// SCSI statuses (SAM-5, 5.3.1).
const (
	Good                uint8 = 0x00
	CheckCondition      uint8 = 0x02
	ConditionMet        uint8 = 0x04
	Busy                uint8 = 0x08
	ReservationConflict uint8 = 0x18
	TaskSetFull         uint8 = 0x28
	TaskAborted         uint8 = 0x40
)

// LUN is the address of a logical unit (SAM-5, 4.7.5), for numbers up to 16383.
func LUN(n int) [8]byte {
	if n < 256 {
		return [8]byte{0, byte(n)}
	}
	return [8]byte{0x40 | byte(n>>8), byte(n)}
}

// Sense is what sense data says (SPC-4, 4.5).
type Sense struct {
	Key, ASC, ASCQ uint8
}

// ParseSense reads sense data in fixed or descriptor format. Of anything else
// it returns the zero Sense.
func ParseSense(b []byte) Sense {
	switch {
	case len(b) >= 14 && b[0]&0x7e == 0x70:
		return Sense{b[2] & 0x0f, b[12], b[13]}
	case len(b) >= 4 && b[0]&0x7e == 0x72:
		return Sense{b[1] & 0x0f, b[2], b[3]}
	}
	return Sense{}
}

// String is key/ASC/ASCQ in hexadecimal.
func (s Sense) String() string { return fmt.Sprintf("sense %x/%02x/%02x", s.Key, s.ASC, s.ASCQ) }

// TestUnitReady is TEST UNIT READY.
func (s *Session) TestUnitReady(ctx context.Context, lun [8]byte) error {
	_, err := s.Do(ctx, Command{LUN: lun, CDB: make([]byte, 6)})
	return err
}

// Ready runs TEST UNIT READY until no unit attention is left, at most 10 times.
func (s *Session) Ready(ctx context.Context, lun [8]byte) (err error) {
	for range 10 {
		if err = s.TestUnitReady(ctx, lun); err == nil {
			return nil
		}
	}
	return err
}

// Identity is the standard INQUIRY data.
type Identity struct {
	Type                      uint8 // peripheral qualifier and device type
	Vendor, Product, Revision string
}

// Inquiry is INQUIRY.
func (s *Session) Inquiry(ctx context.Context, lun [8]byte) (Identity, error) {
	r, err := s.Do(ctx, Command{LUN: lun, CDB: []byte{0x12, 0, 0, 0, 255, 0}, In: 255})
	if err != nil {
		return Identity{}, err
	}
	if len(r.In) < 36 {
		return Identity{}, fmt.Errorf("INQUIRY: %d bytes", len(r.In))
	}
	field := func(from, to int) string { return strings.TrimRight(string(r.In[from:to]), " ") }
	return Identity{r.In[0], field(8, 16), field(16, 32), field(32, 36)}, nil
}

// VPD is INQUIRY for a page of vital product data.
func (s *Session) VPD(ctx context.Context, lun [8]byte, page uint8) ([]byte, error) {
	r, err := s.Do(ctx, Command{LUN: lun, CDB: []byte{0x12, 1, page, 0x02, 0, 0}, In: 512})
	return r.In, err
}

// Capacity is a disk's size.
type Capacity struct {
	Blocks    uint64
	BlockSize int // bytes
}

// ReadCapacity is READ CAPACITY(16).
func (s *Session) ReadCapacity(ctx context.Context, lun [8]byte) (Capacity, error) {
	cdb := make([]byte, 16)
	cdb[0], cdb[1], cdb[13] = 0x9e, 0x10, 32
	r, err := s.Do(ctx, Command{LUN: lun, CDB: cdb, In: 32})
	if err != nil {
		return Capacity{}, err
	}
	if len(r.In) < 12 {
		return Capacity{}, fmt.Errorf("READ CAPACITY(16): %d bytes", len(r.In))
	}
	return Capacity{binary.BigEndian.Uint64(r.In) + 1, int(binary.BigEndian.Uint32(r.In[8:]))}, nil
}

// Read is a READ(16) command: n bytes, of blocks of the given size.
func Read(lun [8]byte, lba uint64, n, blockSize int) Command {
	return Command{LUN: lun, CDB: cdb16(0x88, lba, n/blockSize), In: n}
}

// Write is a WRITE(16) command.
func Write(lun [8]byte, lba uint64, data []byte, blockSize int) Command {
	return Command{LUN: lun, CDB: cdb16(0x8a, lba, len(data)/blockSize), Out: data}
}

func cdb16(opcode byte, lba uint64, blocks int) []byte {
	b := make([]byte, 16)
	b[0] = opcode
	binary.BigEndian.PutUint64(b[2:], lba)
	binary.BigEndian.PutUint32(b[10:], uint32(blocks))
	return b
}

// ReportLUNs is REPORT LUNS.
func (s *Session) ReportLUNs(ctx context.Context) ([][8]byte, error) {
	r, err := s.Do(ctx, Command{CDB: []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0}, In: 4096})
	var luns [][8]byte
	for b := r.In[min(8, len(r.In)):]; len(b) >= 8; b = b[8:] {
		luns = append(luns, [8]byte(b))
	}
	return luns, err
}
