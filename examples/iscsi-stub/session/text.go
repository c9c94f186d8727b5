package session

import (
	"errors"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// onText answers a Text Request: SendTargets, or a negotiation (RFC 7143, section 11.10).
func (cn *connection) onText(h pdu.Header, data []byte) {
	r, err := cn.text.Step(login.TextRequest{
		Final: h.Final(), Continue: h.Continue(), TaskTag: uint32(h.ITT()), TransferTag: uint32(h.TTT()),
	}, data)
	if err != nil {
		reason := pdu.RejectProtocolError
		if refused, ok := errors.AsType[*login.RejectError](err); ok {
			reason = pdu.RejectReason(refused.Reason)
		}
		cn.reject(h, reason, ProtocolError, err.Error())
		return
	}
	if p := cn.room(cn.format.Size(len(r.Text))); p != nil {
		cn.sentStatus(pdu.TextResponse{
			Numbers: cn.numbers(), Final: r.Final, Continue: r.Continue, LUN: h.LUN(),
			ITT: pdu.Tag(r.TaskTag), TTT: pdu.Tag(r.TransferTag), Data: r.Text,
		}.Append(p, cn.format))
	}
	cn.params.MaxSendDataSegmentLength = cn.text.Params().MaxSendDataSegmentLength
}
