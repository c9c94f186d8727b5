//go:build !race

package pdu_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Neither reading nor writing allocates.
func TestNothingIsAllocated(t *testing.T) {
	buf := make([]byte, 0, 4096)
	data := make([]byte, 512)
	cdb := make([]byte, 32)
	d := both.Decoder(1 << 10)
	for name, f := range map[string]func(){
		"write": func() {
			b := pdu.R2T{Numbers: numbers, LUN: lun, ITT: itt}.Append(buf, both)
			b = pdu.DataIn{Numbers: numbers, LUN: lun, ITT: itt, Data: data}.Append(b, both)
			b = pdu.SCSIResponse{Numbers: numbers, ITT: itt, Sense: sense}.Append(b, both)
			b = pdu.SCSICommand{Read: true, Write: true, LUN: lun, CDB: cdb, Data: data}.Append(b, both)
			pdu.Reject{Header: pdu.Header(b)}.Append(b, both)
		},
		"read": func() {
			b := pdu.SCSICommand{Read: true, Write: true, LUN: lun, CDB: cdb, Data: data}.Append(buf, both)
			m, _, err := d.Decode(b)
			if err == nil {
				_, err = both.Data(m)
			}
			if err != nil {
				t.Fatal(err)
			}
			lookAtNumbers(m.Header)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func lookAtNumbers(h pdu.Header) {
	if !h.ValidAHS() || len(h.ExtendedCDB()) != 16 {
		panic("not the header that was written")
	}
	if n, ok := h.BidiReadLength(); !ok || n != 0 || h.CmdSN() != 0 {
		panic("not the header that was written")
	}
}
