package scsi

import (
	"encoding/binary"
	"fmt"
)

// SenseKey says what kind of condition sense data tells of (SPC-4, table 48).
type SenseKey uint8

// The sense keys.
const (
	NoSense        SenseKey = 0x0
	RecoveredError SenseKey = 0x1
	NotReady       SenseKey = 0x2
	MediumError    SenseKey = 0x3
	HardwareError  SenseKey = 0x4
	IllegalRequest SenseKey = 0x5
	UnitAttention  SenseKey = 0x6
	DataProtect    SenseKey = 0x7
	BlankCheck     SenseKey = 0x8
	CopyAborted    SenseKey = 0xA
	AbortedCommand SenseKey = 0xB
	Miscompare     SenseKey = 0xE
	Completed      SenseKey = 0xF
)

var senseKeys = [16]string{
	"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR", "ILLEGAL REQUEST",
	"UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND",
	"RESERVED", "VOLUME OVERFLOW", "MISCOMPARE", "COMPLETED",
}

// String gives a sense key the name SPC-4 gives it.
func (k SenseKey) String() string { return senseKeys[k&0xF] }

// maxSense is the longest sense data that [Sense.Append] makes: a header, an information
// descriptor and a sense-key specific descriptor.
const maxSense = 8 + 12 + 8

// Sense is sense data as a value, before it has a format. It is an error that says why a
// command ended as it did.
type Sense struct {
	Key      SenseKey
	Code     Code
	Info     uint64  // the INFORMATION field: an LBA, or for MISCOMPARE an offset in bytes
	HasInfo  bool    // Info means something: the VALID bit
	Specific [3]byte // the sense-key specific bytes; SKSV, the first bit, says whether they mean something
	Deferred bool    // about an earlier command
}

// Error names the sense key and the additional sense code.
func (s Sense) Error() string { return fmt.Sprintf("%v: %v", s.Key, s.Code) }

// at makes the sense-key specific bytes a field pointer (SPC-4, 4.5.2.4.2): the byte, and
// the field's leftmost bit in it. A negative bit stands for the whole byte.
func (s Sense) at(inCDB bool, offset, bit int) Sense {
	s.Specific[0] = 0x80 // SKSV
	if inCDB {
		s.Specific[0] |= 0x40 // C/D
	}
	if bit >= 0 {
		s.Specific[0] |= 0x08 | byte(bit) // BPV, bit pointer
	}
	binary.BigEndian.PutUint16(s.Specific[1:], uint16(offset))
	return s
}

// progress makes the sense-key specific bytes a progress indication (SPC-4, 4.5.2.4.4), in
// parts of 65536.
func (s Sense) progress(parts uint16) Sense {
	s.Specific[0] = 0x80
	binary.BigEndian.PutUint16(s.Specific[1:], parts)
	return s
}

// with sets the INFORMATION field.
func (s Sense) with(info uint64) Sense {
	s.Info, s.HasInfo = info, true
	return s
}

// Append appends the sense data in fixed format (SPC-4, 4.5.3), or in descriptor format
// (SPC-4, 4.5.2).
func (s Sense) Append(b []byte, descriptor bool) []byte {
	if descriptor {
		return s.appendDescriptors(b)
	}
	return s.appendFixed(b)
}

func (s Sense) appendFixed(b []byte) []byte {
	var f [18]byte
	f[0] = 0x70
	if s.Deferred {
		f[0] = 0x71
	}
	// Information that four bytes cannot hold is left out (SPC-4, 4.5.3).
	if s.HasInfo && s.Info <= 0xFFFFFFFF {
		f[0] |= 0x80
		binary.BigEndian.PutUint32(f[3:], uint32(s.Info))
	}
	f[2] = byte(s.Key)
	f[7] = byte(len(f) - 8)
	binary.BigEndian.PutUint16(f[12:], uint16(s.Code))
	copy(f[15:], s.Specific[:])
	return append(b, f[:]...)
}

func (s Sense) appendDescriptors(b []byte) []byte {
	start := len(b)
	code := byte(0x72)
	if s.Deferred {
		code = 0x73
	}
	b = append(b, code, byte(s.Key), byte(s.Code>>8), byte(s.Code), 0, 0, 0, 0)
	if s.HasInfo {
		b = append(b, 0x00, 0x0A, 0x80, 0)
		b = binary.BigEndian.AppendUint64(b, s.Info)
	}
	if s.Specific[0]&0x80 != 0 {
		b = append(b, 0x02, 0x06, 0, 0, s.Specific[0], s.Specific[1], s.Specific[2], 0)
	}
	b[start+7] = byte(len(b) - start - 8)
	return b
}
