package pdu_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name   string
		format pdu.Format
		data   int
	}{{"plain", pdu.Format{}, 0}, {"digest", both, 0}, {"digests, 8 KiB", both, 8192}} {
		stream := pdu.SCSICommand{Write: true, CDB: make([]byte, 16), Data: make([]byte, c.data)}.Append(nil, c.format)
		d := c.format.Decoder(8192)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				m, _, err := d.Decode(stream)
				if err == nil {
					_, err = c.format.Data(m)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 1<<14)
	for _, c := range []struct {
		name   string
		format pdu.Format
		data   int
	}{{"plain", pdu.Format{}, 0}, {"digest", both, 0}, {"digests, 8 KiB", both, 8192}} {
		data := make([]byte, c.data)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				pdu.DataIn{Numbers: numbers, LUN: lun, ITT: itt, Data: data}.Append(buf, c.format)
			}
		})
	}
}
