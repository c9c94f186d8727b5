package login

import (
	"bytes"
	"testing"
)

// script reads a fuzzer's bytes as requests: flags, how much data, and the data.
type script []byte

func (s *script) next() (flags byte, data []byte, ok bool) {
	if len(*s) < 2 {
		return 0, nil, false
	}
	flags, n := (*s)[0], min(int((*s)[1]), len(*s)-2)
	data = (*s)[2 : 2+n]
	*s = (*s)[2+n:]
	return flags, data, true
}

func line(flags byte, pairs ...string) []byte {
	data := text(pairs...)
	return append([]byte{flags, byte(len(data))}, data...)
}

// The flags of a script's requests: those of a Login Request's second byte.
const (
	flagT, flagC  = 0x80, 0x40
	fromOp, toFFP = 1 << 2, 3
	toOp          = 1
)

// checkResponse is what holds for every response.
func checkResponse(t *testing.T, req Request, res Response, verdict Verdict) {
	t.Helper()
	switch {
	case len(res.Text) > MaxSegment:
		t.Fatalf("a segment of %d bytes", len(res.Text))
	case res.Transit && (!req.Transit || res.Continue || res.Next != req.Next):
		t.Fatalf("%+v is answered with %+v", req, res)
	case verdict == Failed && (res.Status == Success || res.Transit):
		t.Fatalf("failed with %+v", res)
	case verdict != Failed && res.Status != Success:
		t.Fatalf("goes on with %v", res.Status)
	}
}

// FuzzMachine drives logins with requests of any kind. Whatever they are: nobody gets to a target
// that wants a proof without one, memory stays bounded, and what is agreed on
// is within the bounds of the RFC.
func FuzzMachine(f *testing.F) {
	f.Add(line(flagT|fromOp|toFFP, me, open, "MaxBurstLength=512"))
	f.Add(bytes.Join([][]byte{
		line(flagT|toOp, me, locked, "AuthMethod=CHAP,None"),
		line(0, "CHAP_A=5"),
		line(flagT|toOp, "CHAP_N=ann", "CHAP_R=0x00112233445566778899aabbccddeeff", "CHAP_I=1", "CHAP_C=0b1234"),
		line(flagT|fromOp|toFFP, "HeaderDigest=CRC32C"),
	}, nil))
	f.Add(bytes.Join([][]byte{
		line(flagC, me), line(0, locked), line(flagT | toFFP), line(0, "AuthMethod=None"), line(flagT | fromOp | toFFP),
	}, nil))
	f.Add(line(flagT|fromOp|toFFP, me, "SessionType=Discovery"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h := newHouse()
		cfg := &Config{Preferences: Preferences{NoImmediateData: len(in)%2 == 0, MaxBurstLength: 4096}}
		m := New(cfg, h)
		s := script(in)
		for flags, data, ok := s.next(); ok; flags, data, ok = s.next() {
			req := Request{
				Transit: flags&flagT != 0, Continue: flags&flagC != 0, Current: Stage(flags >> 2 & 3), Next: Stage(flags & 3),
				TSIH: uint16(flags >> 5 & 1),
			}
			res, verdict := m.Step(req, data)
			if kept := len(m.text.text) + len(m.talk.out); kept > 2*maxText {
				t.Fatalf("%d bytes are kept", kept)
			}
			if verdict != Admit {
				checkResponse(t, req, res, verdict)
				continue
			}
			checkAdmitted(t, m, req)
			return
		}
	})
}

// checkAdmitted is what holds for who has got through. The secrets are not to be guessed.
func checkAdmitted(t *testing.T, m *Machine, req Request) {
	t.Helper()
	r := m.Result()
	if r.Target.Secrets != nil || r.Target.Authorized != nil {
		t.Fatalf("%s got to %s", r.Initiator, r.Target.Name)
	}
	if _, err := NormalizeName(r.Initiator); err != nil || r.Discovery == (r.Target.Name != "") {
		t.Fatalf("%+v, %v", r, err)
	}
	p := r.Params
	for name, ok := range map[string]bool{
		"segments": p.MaxSendDataSegmentLength >= 512 && p.MaxSendDataSegmentLength <= maxLength,
		"bursts":   p.MaxBurstLength >= 512 && p.MaxBurstLength <= 262144 && p.FirstBurstLength >= 512 && p.FirstBurstLength <= p.MaxBurstLength,
		"counts":   p.MaxConnections == 1 && p.MaxOutstandingR2T == 1 && p.ErrorRecoveryLevel == 0,
		"order":    p.DataPDUInOrder && p.DataSequenceInOrder,
		"times":    p.DefaultTime2Wait <= 3600 && p.DefaultTime2Retain <= 3600,
	} {
		if !ok {
			t.Fatalf("%s: %+v", name, p)
		}
	}
	res := m.Accept(3)
	checkResponse(t, req, res, More)
	if res.TSIH != 3 || !res.Transit || res.Next != FullFeature {
		t.Fatalf("accepted with %+v", res)
	}
}

// FuzzText drives the text negotiation of a session in the same way.
func FuzzText(f *testing.F) {
	f.Add(line(flagT, "SendTargets=All"), true)
	f.Add(bytes.Join([][]byte{line(flagC, "MaxRecvDataSeg"), line(flagT|1, "x")}, nil), false)
	f.Fuzz(func(t *testing.T, in []byte, discovery bool) {
		x := session(discovery, Config{LenientSendTargets: true})
		s := script(in)
		tag := NoTag
		for flags, data, ok := s.next(); ok; flags, data, ok = s.next() {
			req := TextRequest{Final: flags&flagT != 0, Continue: flags&flagC != 0, TaskTag: 1, TransferTag: NoTag}
			if flags&1 != 0 {
				req.TransferTag = tag
			}
			room := int(x.Params().MaxSendDataSegmentLength)
			res, err := x.Step(req, data)
			switch {
			case err != nil && x.now != nil:
				t.Fatalf("%v leaves a negotiation", err)
			case len(res.Text) > room || res.Final && (res.Continue || !req.Final):
				t.Fatalf("%+v is answered with %+v", req, res)
			case err == nil && res.Final != (res.TransferTag == NoTag):
				t.Fatalf("F is %v with tag %x", res.Final, res.TransferTag)
			}
			if !discovery && bytes.Contains(res.Text, []byte("TargetName=iqn.2020-01.example:locked")) {
				t.Fatal("a session sees another's target")
			}
			tag = res.TransferTag
		}
	})
}
