package session

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

// FuzzConnection logs in and then sends anything, made of PDUs: nothing panics, and when the
// connection has gone, nothing is left of it.
func FuzzConnection(f *testing.F) {
	f.Add([]byte{1, 0x80, 0, 0, 0, 0})                                  // a TEST UNIT READY
	f.Add([]byte{1, 0xa0, 2, 0x2a, 2, 3, 5, 0x80, 2, 0, 1, 0})          // a write and its data
	f.Add([]byte{1, 0x20, 2, 0x2a, 2, 3, 5, 0x80, 2, 0xff, 1, 0})       // unsolicited
	f.Add([]byte{1, 0xc0, 7, 0x28, 2, 1, 2, 0x81, 7, 7, 0, 2, 6, 0x80}) // a read, an abort, a logout
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := volume.Open(volume.Config{Name: "v", Kind: volume.Memory, Blocks: 1024})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v})
		if err != nil {
			t.Fatal(err)
		}
		d := scsi.NewDevice(scsi.DeviceConfig{Name: targetName, Ports: []scsi.TargetPort{{ID: 1, Name: targetName + ",t,0x1"}}})
		if err := d.Add(0, u); err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{
			Directory: everyones{&Tenant{Name: "a", Targets: []*Target{{Name: targetName, Device: d, Portals: []Portal{{Group: 1}}}}}},
			Logger:    slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		lp := handlertest.New(t, s.Handler())
		c := lp.Connect()
		keys := strings.Join([]string{
			"InitiatorName=iqn.2026-01.example:fuzz", "TargetName=" + targetName, "SessionType=Normal",
			"InitialR2T=No", "ErrorRecoveryLevel=0", "",
		}, "\x00")
		c.Send(string(pdu.LoginRequest{Transit: true, CSG: pdu.OperationalNegotiation, NSG: pdu.FullFeaturePhase, CmdSN: 1, Data: []byte(keys)}.Append(nil, pdu.Format{})))
		if len(s.sessions()) != 1 {
			t.Fatalf("no session; got % x", c.Take())
		}
		var all []byte
		sn := pdu.Serial(1)
		for len(in) >= 6 && len(all) < 64<<10 {
			var one []byte
			one, in = fuzzPDU(in, &sn)
			all = append(all, one...)
		}
		c.Send(string(all))
		c.Reset()
		if n := len(s.sessions()); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		if n := s.tenancy(&Tenant{Name: "a"}).memory.inUse(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// fuzzPDU makes a PDU of six bytes: opcode, flags, tags, what it is about, sizes.
func fuzzPDU(in []byte, sn *pdu.Serial) (p, rest []byte) {
	h := make(pdu.Header, pdu.HeaderSize)
	h[0], h[1] = in[0]&0x7f, in[1]
	h[9] = in[5] >> 7 // the LUN
	h.SetITT(pdu.Tag(in[2] & 7))
	size := int(in[4]) * 64
	data := make([]byte, size)
	switch h.Opcode() {
	case pdu.OpSCSICommand:
		h[20+2], h[20+3] = in[4], 0 // expected: so many quarters of a KiB
		h[32], h[40] = in[3], in[5]&0x0f
		data = data[:size*int(in[5]>>4&3)/3]
	case pdu.OpDataOut:
		h.SetTTT(pdu.Tag(in[3]))
		if in[3] == 0xff {
			h.SetTTT(pdu.NoTag)
		}
		h[39] = in[5] & 3
		h[42] = in[5] >> 2 & 7
	default:
		h.SetTTT(pdu.Tag(in[3]))
		h[35] = in[5]
		data = data[:min(len(data), 512)]
	}
	h.SetCmdSN(*sn + pdu.Serial(in[2]>>6)%3)
	if !h.Immediate() && h.Opcode() != pdu.OpDataOut && in[2]>>6 == 0 {
		*sn++
	}
	h.SetDataLength(len(data))
	return pdu.Format{}.AppendData(h, data), in[6:]
}
