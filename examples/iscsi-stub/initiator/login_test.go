package initiator_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// A text may need several PDUs each way; what is settled is what the target said.
func TestLoginInPieces(t *testing.T) {
	asked := ""
	ctx, nc := play(t, func(p *peer) {
		q := p.next(pdu.OpLoginRequest)
		for ; q.Continue(); q = p.next(pdu.OpLoginRequest) {
			asked += string(q.Data)
			p.answer(q, "")
		}
		asked += string(q.Data)
		r := pdu.LoginResponse{Continue: true, CSG: q.CSG(), ISID: q.ISID(), ITT: q.ITT(), Data: []byte("HeaderDigest=CRC")}
		r.Numbers = p.numbers()
		p.send(r)
		q = p.next(pdu.OpLoginRequest) // the rest, and a proposal of the target's
		r.Numbers, r.Continue, r.Data = p.numbers(), false, []byte("32C\x00MaxRecvDataSegmentLength=1024\x00MaxBurstLength=4096\x00")
		p.send(r)
		q = p.next(pdu.OpLoginRequest)
		if string(q.Data) != "MaxBurstLength=4096\x00" {
			t.Errorf("answer is %q", q.Data)
		}
		p.answer(q, "")
	})
	keys := []string{"HeaderDigest=CRC32C,None", "MaxRecvDataSegmentLength=2048"}
	r, err := initiator.NewConn(nc).Login(ctx, initiator.Config{
		Initiator: "iqn.x:i", Target: "iqn.x:t", SkipSecurity: true, Segment: 30, Keys: keys,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.HeaderDigest || r.MaxSend != 1024 || r.MaxRecv != 2048 || r.MaxBurst != 4096 || r.TSIH != 7 {
		t.Errorf("settled: %+v", r)
	}
	if want := "InitiatorName=iqn.x:i\x00SessionType=Normal\x00TargetName=iqn.x:t\x00" + strings.Join(keys, "\x00") + "\x00"; asked != want {
		t.Errorf("asked %q", asked)
	}
}

// Every refusal is a LoginError, with where the target has gone.
func TestRefusedLogin(t *testing.T) {
	ctx, nc := play(t, func(p *peer) {
		q := p.next(pdu.OpLoginRequest)
		p.send(pdu.LoginResponse{
			ISID: q.ISID(), ITT: q.ITT(), Status: pdu.TargetMovedTemporarily, Data: []byte("TargetAddress=192.0.2.9\x00"),
		})
	})
	_, err := initiator.Open(ctx, nc, initiator.Config{Target: "iqn.x:t"})
	var e *initiator.LoginError
	if !errors.As(err, &e) || e.Status != pdu.TargetMovedTemporarily || e.Address != "192.0.2.9" {
		t.Errorf("error is %v", err)
	}
}

func TestMutualCHAP(t *testing.T) {
	response := func(id byte, secret, challenge string) string {
		sum := sha256.Sum256([]byte(string(id) + secret + challenge))
		return "0x" + hex.EncodeToString(sum[:])
	}
	for _, secret := range []string{"the target's", "another"} {
		ctx, nc := play(t, func(p *peer) {
			p.answer(p.next(pdu.OpLoginRequest), "AuthMethod=CHAP\x00")
			p.answer(p.next(pdu.OpLoginRequest), "CHAP_A=7\x00CHAP_I=9\x00CHAP_C=0x616263\x00")
			q := p.next(pdu.OpLoginRequest)
			if !strings.Contains(string(q.Data), "CHAP_R="+response(9, "the initiator's", "abc")+"\x00") {
				t.Errorf("initiator says %q", q.Data)
			}
			p.answer(q, "CHAP_N=t\x00CHAP_R="+response(0x5a, secret, "xyz")+"\x00")
			if secret == "the target's" {
				p.answer(p.next(pdu.OpLoginRequest), "")
			}
		})
		s, err := initiator.Open(ctx, nc, initiator.Config{Target: "iqn.x:t", CHAP: &initiator.CHAP{
			Name: "i", Secret: "the initiator's", PeerName: "t", PeerSecret: "the target's", Challenge: []byte("xyz"),
		}})
		if (secret == "another") != errors.Is(err, initiator.ErrAuthentication) {
			t.Errorf("%s: %v", secret, err)
		}
		if err == nil {
			s.Close()
		}
	}
}
