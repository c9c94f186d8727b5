package pdu_test

import (
	"bytes"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

func TestAdditionalHeaderSegments(t *testing.T) {
	cdb := make([]byte, 32)
	for i := range cdb {
		cdb[i] = byte(i)
	}
	b := pdu.SCSICommand{Read: true, Write: true, CDB: cdb, BidiRead: 0x01020304}.Append(nil, pdu.Format{})
	h := pdu.Header(b)
	if !h.ValidAHS() || !bytes.Equal(h.CDB(), cdb[:16]) || !bytes.Equal(h.ExtendedCDB(), cdb[16:]) {
		t.Errorf("%x, extended %x, valid: %v", h.CDB(), h.ExtendedCDB(), h.ValidAHS())
	}
	if n, ok := h.BidiReadLength(); !ok || n != 0x01020304 {
		t.Errorf("read length %#x, %v", n, ok)
	}
	for range h.AHS() {
		break
	}
}

func TestBadAdditionalHeaderSegments(t *testing.T) {
	for segments, valid := range map[string]bool{
		"":                       true,
		"0001 0100":              true, // no more than the reserved byte
		"0005 0200 00000010":     true,
		"0001 3f00":              true,  // a kind that is not known
		"0003 0200 00000010":     true,  // a read length that is none
		"0000 0100":              false, // not even the reserved byte
		"0005 0200":              false, // longer than AHSLength says
		"ffff 0100":              false,
		"0001 0100 ffff ff00":    false,
		"0005 0100 00000000 00":  true, // the byte is data: AHSLength is 8
		"0002 0100 00000000":     true, // padded
		"0001 0100 0001 0100 00": true,
	} {
		b := append(make(pdu.Header, pdu.HeaderSize), unhex(t, segments)...)
		b[4] = byte((len(b) - pdu.HeaderSize) / 4)
		if got := b.ValidAHS(); got != valid {
			t.Errorf("%s: valid is %v", segments, got)
		}
		b.ExtendedCDB()
		b.BidiReadLength()
	}
	short := make(pdu.Header, pdu.HeaderSize)
	short[4] = 1
	if short.ValidAHS() {
		t.Error("segments that are not there are valid")
	}
}
