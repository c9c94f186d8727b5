package session

import (
	"errors"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

var (
	errLoginLate = errors.New("not logged in in time")
	errNoSign    = errors.New("no sign of life")
)

// checkLife is called by the connection's timer. Who says nothing for PingAfter, or does not
// get to the end of a PDU, is pinged, and who does not answer in PingTimeout is gone (RFC
// 7143, section 4.6). A login must be over by then.
func (cn *connection) checkLife() {
	cfg := &cn.server.cfg
	quiet := cn.received == cn.seen
	cn.seen = cn.received
	switch {
	case cn.session == nil:
		cn.fail(LoginTimedOut, errLoginLate)
	case !quiet || cn.c.Paused() || cn.c.Congested(): // it is alive, or is not listened to
		cn.pinged = false
		cn.c.SetTimer(cfg.PingAfter)
	case cn.pinged:
		cn.fail(PingTimedOut, errNoSign)
	default:
		cn.pinged = true
		cn.ping()
		cn.c.SetTimer(cfg.PingTimeout)
	}
}

// ping asks for a NOP-Out.
func (cn *connection) ping() {
	if p := cn.room(cn.format.Size(0)); p != nil {
		n := cn.numbers() // it takes no StatSN
		cn.sent(pdu.NOPIn{Numbers: n, ITT: pdu.NoTag, TTT: cn.tag &^ (1 << 31)}.Append(p, cn.format))
	}
}

// onNOPOut answers a ping, or is the answer to ours.
func (cn *connection) onNOPOut(h pdu.Header, data []byte) {
	if h.ITT() == pdu.NoTag {
		if cn.pinged {
			cn.pinged = false
			cn.c.SetTimer(cn.server.cfg.PingAfter)
		}
		return
	}
	data = data[:min(len(data), int(cn.params.MaxSendDataSegmentLength))]
	if p := cn.room(cn.format.Size(len(data))); p != nil {
		cn.sentStatus(pdu.NOPIn{Numbers: cn.numbers(), LUN: h.LUN(), ITT: h.ITT(), TTT: pdu.NoTag, Data: data}.Append(p, cn.format))
	}
}
