package pdu_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// The examples of RFC 7143, appendix B.4, with their CRCs in the order in which
// they are sent.
func TestDigestsAreThoseOfTheRFC(t *testing.T) {
	up, down := make([]byte, 32), make([]byte, 32)
	for i := range up {
		up[i], down[i] = byte(i), byte(31-i)
	}
	for crc, data := range map[string][]byte{
		"aa36918a": make([]byte, 32),
		"43aba862": bytes.Repeat([]byte{0xff}, 32),
		"4e79dd46": up,
		"5cdb3f11": down,
	} {
		b := pdu.Format{DataDigest: true}.AppendData(nil, data)
		if got := hex.EncodeToString(b[32:]); got != crc {
			t.Errorf("digest of %x is %s, not %s", data, got, crc)
		}
	}
	read := pdu.SCSICommand{
		Final: true, Read: true, ITT: 0x14000000, Expected: 0x400, CmdSN: 0x14, ExpStatSN: 0x18,
		CDB: []byte{0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0},
	}.Append(nil, pdu.Format{HeaderDigest: true})
	want := "01c0000000000000000000000000000014000000000004000000001400000018" +
		"28000000000000000200000000000000" + "563a96d9"
	if got := hex.EncodeToString(read); got != want {
		t.Errorf("READ(10) is\n%s, not\n%s", got, want)
	}
}

// A CRC finds every single bit that is wrong.
func TestDigestsFindAnyFlippedBit(t *testing.T) {
	f := pdu.Format{HeaderDigest: true, DataDigest: true}
	b := pdu.SCSICommand{
		Final: true, Write: true, CDB: make([]byte, 20), Data: []byte("seven b"),
	}.Append(nil, f)
	header := pdu.HeaderSize + 8 + pdu.DigestSize
	d := f.Decoder(1 << 10)
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		want := pdu.ErrHeaderDigest
		if bit/8 >= header {
			want = pdu.ErrDataDigest
		}
		m, n, err := d.Decode(b)
		waits := n > len(b) // AHSLength says where the digest is
		if err == nil && !waits {
			_, err = f.Data(m)
		}
		if !errors.Is(err, want) && (bit/8 != 4 || !waits) {
			t.Errorf("bit %d: %v, not %v", bit, err, want)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}
