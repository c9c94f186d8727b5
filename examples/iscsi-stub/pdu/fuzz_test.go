package pdu_test

import (
	"bytes"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Whatever comes, the decoder finds PDUs within their limits or an error, and
// every field of them can be asked for.
func FuzzDecode(f *testing.F) {
	for _, c := range all {
		for i, format := range formats {
			f.Add(c.pdu.Append(nil, format), byte(i))
		}
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, b []byte, i byte) {
		format := formats[int(i)%len(formats)]
		d := format.Decoder(limit)
		for len(b) > 0 {
			m, n, err := d.Decode(b)
			if err != nil || n > len(b) {
				return
			}
			if n < pdu.HeaderSize || m.Header.DataLength() > limit {
				t.Fatalf("%d bytes, data %d", n, m.Header.DataLength())
			}
			data, err := format.Data(m)
			if err == nil && n != format.Size(len(data))+m.Header.AHSLength() {
				t.Fatalf("%d bytes, with %d of data", n, len(data))
			}
			pdu.Sense(data)
			lookAt(m.Header)
			b = b[n:]
		}
	})
}

// lookAt calls what might run past the end of a header.
func lookAt(h pdu.Header) {
	for range h.AHS() {
		continue
	}
	h.ValidAHS()
	h.ExtendedCDB()
	h.BidiReadLength()
	_ = h.Opcode().String() + h.LoginStatus().String() + h.RejectReason().String()
	h.LUN()
	h.CDB()
	h.DesiredLength()
	h.Residual()
	h.BidiResidual()
	h.Parameters()
}

// What is written is read again, for any command, and in any pieces.
func FuzzCommand(f *testing.F) {
	f.Add([]byte("0123456789"), []byte("data"), uint32(1), uint32(2), true, byte(3))
	f.Add(make([]byte, 33), []byte{}, uint32(0), ^uint32(0), false, byte(1))
	f.Fuzz(func(t *testing.T, cdb, data []byte, a, n uint32, both bool, i byte) {
		cdb, data = cdb[:min(len(cdb), 260)], data[:min(len(data), 1000)]
		format := formats[int(i)%len(formats)]
		b := pdu.SCSICommand{
			Read: both, Write: true, ITT: pdu.Tag(a), Expected: n, BidiRead: a, CDB: cdb, Data: data,
		}.Append(nil, format)
		d := format.Decoder(1000)
		for cut := range len(b) {
			if _, need, err := d.Decode(b[:cut:cut]); cut > 0 && (err != nil || need <= cut || need > len(b)) {
				t.Fatalf("of %d bytes %d: needs %d, %v", len(b), cut, need, err)
			}
		}
		m, size, err := d.Decode(b)
		if err != nil || size != len(b) {
			t.Fatalf("%d of %d bytes, %v", size, len(b), err)
		}
		got, err := format.Data(m)
		h := m.Header
		all := append(h.CDB(), h.ExtendedCDB()...)
		if err != nil || !bytes.Equal(got, data) || !bytes.HasPrefix(all, cdb) || h.ExpectedLength() != n || !h.ValidAHS() {
			t.Fatalf("data %x, %v; CDB %x; %d bytes expected", got, err, all, h.ExpectedLength())
		}
		if read, ok := h.BidiReadLength(); ok != both || both && read != a {
			t.Fatalf("read length %d, %v", read, ok)
		}
	})
}
