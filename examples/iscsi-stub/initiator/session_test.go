package initiator_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

var disk = initiator.Config{Target: "iqn.x:t"}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 2)
	}
	return b
}

// All four ways to get data to a target: each byte goes once, as far as it was
// allowed to.
func TestWriteSendsWhatItMay(t *testing.T) {
	want := pattern(10_000)
	for _, c := range []struct {
		keys                 string
		immediate, unasked   int // bytes with the command, and behind it
		pieces, solicitedPDU int
	}{
		{"InitialR2T=Yes\x00ImmediateData=Yes\x00", 1024, 0, 0, 9},
		{"InitialR2T=Yes\x00ImmediateData=No\x00", 0, 0, 0, 10},
		{"InitialR2T=No\x00ImmediateData=Yes\x00", 1024, 1976, 2, 7},
		{"InitialR2T=No\x00ImmediateData=No\x00", 0, 3000, 3, 7},
	} {
		ctx, nc := play(t, func(p *peer) {
			p.login(c.keys + "MaxRecvDataSegmentLength=1024\x00FirstBurstLength=3000\x00")
			q := p.next(pdu.OpSCSICommand)
			got := append([]byte(nil), q.Data...)
			if len(got) != c.immediate || q.Final() != (c.unasked == 0) || q.ExpectedLength() != 10_000 {
				t.Errorf("%q: %d bytes with the command, final %v", c.keys, len(got), q.Final())
			}
			receive := func(n int, ttt pdu.Tag) {
				for sn := range uint32(n) {
					d := p.next(pdu.OpDataOut)
					if d.DataSN() != sn || int(d.BufferOffset()) != len(got) || d.TTT() != ttt || d.Final() != (int(sn) == n-1) {
						t.Errorf("%q: Data-Out %x with %d bytes here", c.keys, []byte(d.Header), len(got))
					}
					got = append(got, d.Data...)
				}
			}
			receive(c.pieces, pdu.NoTag)
			p.send(pdu.R2T{Numbers: p.unnumbered(p.statSN), ITT: q.ITT(), TTT: 5, Offset: uint32(len(got)), Desired: uint32(10_000 - len(got))})
			receive(c.solicitedPDU, 5)
			if !bytes.Equal(got, want) {
				t.Errorf("%q: other data", c.keys)
			}
			p.send(pdu.SCSIResponse{Numbers: p.numbers(), ITT: q.ITT()})
		})
		s, err := initiator.Open(ctx, nc, disk)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := s.Do(ctx, initiator.Write(initiator.LUN(0), 0, want, 500)); err != nil || r.R2Ts != 1 {
			t.Errorf("%q: %+v, %v", c.keys, r, err)
		}
		s.Close()
	}
}

// At error recovery level 1 what was lost is asked for again: data, and statuses.
func TestLostPDUsAreAskedForAgain(t *testing.T) {
	want := pattern(2048)
	ctx, nc := play(t, func(p *peer) {
		p.login("ErrorRecoveryLevel=1\x00")
		q := p.next(pdu.OpSCSICommand)
		data := []pdu.DataIn{
			{Numbers: p.unnumbered(0), ITT: q.ITT(), TTT: pdu.NoTag, Data: want[:1024]},
			{Numbers: p.unnumbered(0), Final: true, ITT: q.ITT(), TTT: pdu.NoTag, DataSN: 1, Offset: 1024, Data: want[1024:]},
		}
		response := pdu.SCSIResponse{Numbers: p.numbers(), ITT: q.ITT(), ExpDataSN: 2}
		p.send(data[0], data[1], response)
		snack := p.next(pdu.OpSNACK)
		if snack.SNACKType() != pdu.SNACKData || snack.ITT() != q.ITT() || snack.BegRun() != 0 || snack.RunLength() != 1 {
			t.Errorf("asks for data with %x", []byte(snack.Header))
		}
		status := p.next(pdu.OpSNACK)
		if status.SNACKType() != pdu.SNACKStatus || pdu.Serial(status.BegRun()) != response.StatSN || status.ExpStatSN() != response.StatSN {
			t.Errorf("asks for a status with %x", []byte(status.Header))
		}
		p.send(response, data[0])
	})
	lost := map[pdu.Opcode]bool{}
	cfg := disk
	cfg.Lose = func(p initiator.PDU) bool {
		first := !lost[p.Opcode()]
		lost[p.Opcode()] = true
		return first
	}
	s, err := initiator.Open(ctx, nc, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := s.Do(ctx, initiator.Read(initiator.LUN(0), 0, 2048, 512)); err != nil || !bytes.Equal(r.In, want) {
		t.Errorf("%d bytes, %v", len(r.In), err)
	}
}

// What breaks a rule ends the session with what it was.
func TestATargetThatBreaksRulesIsFound(t *testing.T) {
	tag := func(q initiator.PDU) pdu.Tag { return q.ITT() }
	for name, answer := range map[string]func(*peer, initiator.PDU) initiator.Builder{
		"StatSN": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.SCSIResponse{Numbers: p.unnumbered(p.statSN + 1), ITT: tag(q)}
		},
		"unknown task": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.SCSIResponse{Numbers: p.numbers(), ITT: tag(q) + 1}
		},
		"too much data": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.DataIn{Numbers: p.numbers(), ITT: tag(q), TTT: pdu.NoTag, Data: make([]byte, 1025)}
		},
		"data out of order": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.DataIn{Numbers: p.numbers(), ITT: tag(q), TTT: pdu.NoTag, Offset: 512, Data: make([]byte, 512)}
		},
		"DataSN": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.DataIn{Numbers: p.numbers(), ITT: tag(q), TTT: pdu.NoTag, DataSN: 1, Data: make([]byte, 512)}
		},
		"R2T of a read": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.R2T{Numbers: p.unnumbered(p.statSN), ITT: tag(q), TTT: 1, Desired: 512}
		},
		"R2T of nothing": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.R2T{Numbers: p.unnumbered(p.statSN), ITT: tag(q), TTT: 1}
		},
		"good, but short": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.SCSIResponse{Numbers: p.numbers(), ITT: tag(q), Residual: -512}
		},
		"ExpDataSN": func(p *peer, q initiator.PDU) initiator.Builder {
			return pdu.SCSIResponse{Numbers: p.numbers(), ITT: tag(q), Residual: -1024, ExpDataSN: 3}
		},
	} {
		ctx, nc := play(t, func(p *peer) {
			p.login("")
			q := p.next(pdu.OpSCSICommand)
			p.send(answer(p, q))
		})
		s, err := initiator.Open(ctx, nc, disk)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Do(ctx, initiator.Read(initiator.LUN(0), 0, 1024, 512))
		var e *initiator.ProtocolError
		if !errors.As(err, &e) || s.Err() == nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// Pings are answered, async messages handed on, a Reject ends its request.
func TestWhatComesUnasked(t *testing.T) {
	ctx, nc := play(t, func(p *peer) {
		p.login("")
		p.send(
			pdu.NOPIn{Numbers: p.unnumbered(p.statSN), ITT: pdu.NoTag, TTT: 3, Data: []byte("ping")},
			pdu.Async{Numbers: p.numbers(), Event: pdu.LogoutRequested, Parameter3: 10},
		)
		if q := p.next(pdu.OpNOPOut); q.TTT() != 3 || q.ITT() != pdu.NoTag || string(q.Data) != "ping" || !q.Immediate() {
			t.Errorf("answer is %x %q", []byte(q.Header), q.Data)
		}
		q := p.next(pdu.OpTaskRequest)
		p.send(pdu.Reject{Numbers: p.numbers(), Reason: pdu.RejectNotSupported, Header: q.Header})
		q = p.next(pdu.OpLogoutRequest)
		p.send(pdu.LogoutResponse{Numbers: p.numbers(), ITT: q.ITT()})
	})
	s, err := initiator.Open(ctx, nc, disk)
	if err != nil {
		t.Fatal(err)
	}
	if m := <-s.Async(); m.AsyncEvent() != pdu.LogoutRequested {
		t.Errorf("async message %x", []byte(m.Header))
	}
	_, err = s.Manage(ctx, pdu.TargetColdReset, [8]byte{}, nil)
	var e *initiator.RejectError
	if !errors.As(err, &e) || e.Reason != pdu.RejectNotSupported || e.Header.Opcode() != pdu.OpTaskRequest {
		t.Errorf("error is %v", err)
	}
	if err := s.Logout(ctx); err != nil {
		t.Error(err)
	}
	if _, open := <-s.Async(); open || !errors.Is(s.Err(), initiator.ErrClosed) {
		t.Errorf("after the logout: %v", s.Err())
	}
}

func TestParseSense(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want initiator.Sense
	}{
		{[]byte{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 1}, initiator.Sense{Key: 5, ASC: 0x24, ASCQ: 1}},
		{[]byte{0x72, 6, 0x29, 2}, initiator.Sense{Key: 6, ASC: 0x29, ASCQ: 2}},
		{[]byte{0x70, 0, 5}, initiator.Sense{}},
		{nil, initiator.Sense{}},
	} {
		if got := initiator.ParseSense(c.b); got != c.want {
			t.Errorf("%x is %v", c.b, got)
		}
	}
}
