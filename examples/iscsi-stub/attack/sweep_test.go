package attack

import (
	"bytes"
	"net"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// Every field of every request with all its bits set, and every opcode there is:
// whatever the answer, the connection ends when the initiator does, and nothing
// is left of it.
func TestEveryFieldOutOfRange(t *testing.T) {
	r := newRig(t)
	for op := range 64 {
		fields := [][2]int{{1, 1}} // opcodes that are not requests: the flags will do
		if op <= int(pdu.OpLogoutRequest) || op == int(pdu.OpSNACK) {
			fields = [][2]int{{1, 1}, {2, 4}, {4, 5}, {5, 8}, {8, 16}, {16, 20}, {20, 24}, {24, 28}, {28, 32}, {32, 36}, {36, 40}, {40, 44}, {44, 48}, {1, 48}}
		}
		for _, f := range fields {
			c := r.raw(plain)
			p := initiator.NewRaw(c.tur(0x20))
			p.Header[0] = byte(op)
			copy(p.Header[f[0]:f[1]], bytes.Repeat([]byte{0xff}, 48))
			if _, err := c.Write(p.Header); err != nil {
				t.Fatal(err)
			}
			c.Conn.Conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // the target may have reset it already
			c.closed()
			if t.Failed() {
				t.Fatalf("opcode %#02x, bytes %d to %d", op, f[0], f[1])
			}
		}
	}
	r.open(r.red, plain).Close()
	r.unharmed()
}

// What is lost on the way back is sent again, at error recovery level 1.
func TestLostAnswersAreSentAgain(t *testing.T) {
	r := newRig(t)
	cfg := initiator.Config{Target: disk, Keys: []string{
		"ErrorRecoveryLevel=1", "DataDigest=CRC32C", "MaxRecvDataSegmentLength=1024", "MaxBurstLength=4096",
	}}
	n := 0
	cfg.Lose = func(p initiator.PDU) bool {
		if op := p.Opcode(); op != pdu.OpDataIn && op != pdu.OpSCSIResponse {
			return false
		}
		n++
		return n%7 == 3
	}
	s := r.open(r.red, cfg)
	defer s.Close()
	want := make([]byte, 64*block)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	if _, err := s.Do(r.ctx, initiator.Write(initiator.LUN(0), 0, want, block)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		got, err := s.Do(r.ctx, initiator.Read(initiator.LUN(0), uint64(i), (64-i)*block, block))
		if err != nil || !bytes.Equal(got.In, want[i*block:]) {
			t.Fatalf("read %d: %v, or other data", i, err)
		}
	}
	r.unharmed()
}
