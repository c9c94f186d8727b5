package pdu

import (
	"encoding/binary"
	"iter"
)

// AHSType is the kind of an additional header segment (section 11.2.2.2).
type AHSType uint8

// The kinds of additional header segments; others are reserved.
const (
	AHSExtendedCDB    AHSType = 1
	AHSBidiReadLength AHSType = 2
)

// AHS goes over the additional header segments: kind, and what comes after the
// reserved byte that both known kinds start with. One that is longer than the
// header ends it: ValidAHS says so.
func (h Header) AHS() iter.Seq2[AHSType, []byte] {
	return func(yield func(AHSType, []byte) bool) {
		for rest := h.segments(); len(rest) > 0; {
			t, v, next, ok := cutAHS(rest)
			if !ok || !yield(t, v) {
				return
			}
			rest = next
		}
	}
}

// ValidAHS says that the additional header segments are as long together as
// AHSLength says.
func (h Header) ValidAHS() bool {
	rest := h.segments()
	for len(rest) > 0 {
		_, _, next, ok := cutAHS(rest)
		if !ok {
			return false
		}
		rest = next
	}
	return len(h) >= HeaderSize+h.AHSLength()
}

func (h Header) segments() []byte { return h[HeaderSize:min(len(h), HeaderSize+h.AHSLength())] }

// cutAHS cuts the first segment off: two bytes of length, which counts neither
// itself nor the kind, a byte of kind, the value, padding to four bytes.
func cutAHS(b []byte) (t AHSType, v, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	end := 3 + int(binary.BigEndian.Uint16(b))
	if end < 4 || padded(end) > len(b) {
		return 0, nil, nil, false
	}
	return AHSType(b[2] & 0x3f), b[4:end:end], b[padded(end):], true
}

// ExtendedCDB is what a command descriptor block of more than 16 bytes has after
// those in CDB, or nil. It is a piece of the header. SCSI Command.
func (h Header) ExtendedCDB() []byte { return h.find(AHSExtendedCDB) }

// BidiReadLength is the expected length of data-in, in bytes, of a command that
// has both. SCSI Command.
func (h Header) BidiReadLength() (n uint32, ok bool) {
	v := h.find(AHSBidiReadLength)
	if len(v) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

func (h Header) find(want AHSType) []byte {
	for t, v := range h.AHS() {
		if t == want {
			return v
		}
	}
	return nil
}

// appendAHS appends a segment, padded.
func appendAHS(dst []byte, t AHSType, v ...byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(1+len(v)))
	dst = append(dst, byte(t), 0)
	dst = append(dst, v...)
	return pad(dst, len(v))
}
