package initiator_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// peer is the target's end of a connection, which a test plays by hand.
type peer struct {
	*initiator.Conn
	t      *testing.T
	statSN pdu.Serial
}

// play runs the target's side of a test while the test has the other end.
func play(t *testing.T, target func(*peer)) (context.Context, net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	mine, its := net.Pipe()
	p := &peer{Conn: initiator.NewConn(its), t: t, statSN: 100}
	done := make(chan struct{})
	go func() {
		defer close(done)
		target(p)
	}()
	t.Cleanup(func() {
		cancel()
		mine.Close()
		its.Close()
		<-done
	})
	return ctx, mine
}

func (p *peer) next(want pdu.Opcode) initiator.PDU {
	got, err := p.Receive()
	if err != nil || got.Opcode() != want {
		p.t.Errorf("target received %v, %v, not %v", got.Header, err, want)
		p.Close()
		return initiator.PDU{Header: make(pdu.Header, pdu.HeaderSize)}
	}
	return got
}

// numbers takes up a StatSN.
func (p *peer) numbers() pdu.Numbers {
	p.statSN++
	return p.unnumbered(p.statSN - 1)
}

func (p *peer) unnumbered(statSN pdu.Serial) pdu.Numbers {
	return pdu.Numbers{StatSN: statSN, ExpCmdSN: 1, MaxCmdSN: 64}
}

func (p *peer) send(pdus ...initiator.Builder) {
	if err := p.Send(pdus...); err != nil {
		p.t.Errorf("target sends: %v", err)
	}
}

// login lets the initiator in, with keys that settle everything.
func (p *peer) login(keys string) {
	p.answer(p.next(pdu.OpLoginRequest), "")
	p.answer(p.next(pdu.OpLoginRequest), keys)
}

// answer agrees to what a login request wants.
func (p *peer) answer(q initiator.PDU, keys string) {
	r := pdu.LoginResponse{
		Numbers: p.numbers(), Transit: q.Transit(), CSG: q.CSG(), NSG: q.NSG(), ISID: q.ISID(), ITT: q.ITT(), Data: []byte(keys),
	}
	if q.NSG() == pdu.FullFeaturePhase {
		r.TSIH = 7
	}
	p.send(r)
}
