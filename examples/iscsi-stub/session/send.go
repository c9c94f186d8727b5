package session

import (
	"errors"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// room is memory in the connection's output for n bytes, empty and to be appended to; nil
// if nothing can be sent any more.
func (cn *connection) room(n int) []byte {
	p, err := cn.c.Reserve(n)
	if err != nil {
		if !errors.Is(err, engine.ErrClosed) {
			cn.c.Fail(err) // the peer has not taken what there was
		}
		return nil
	}
	return p[:0]
}

// sent queues what was appended to a room.
func (cn *connection) sent(p []byte) {
	if err := cn.c.Commit(len(p)); err != nil && !errors.Is(err, engine.ErrClosed) {
		cn.c.Fail(err)
	}
}

// sentStatus is sent for a PDU that takes a StatSN. With error recovery it is kept until it
// is acknowledged.
func (cn *connection) sentStatus(p []byte) {
	cn.recovery.keep(cn.statSN, p)
	cn.statSN++
	cn.sent(p)
}

// numbers are those of a PDU to be sent.
func (cn *connection) numbers() pdu.Numbers {
	n := cn.session.numbers()
	n.StatSN = cn.statSN
	return n
}

// reject answers a PDU that is wrong with a copy of its header (RFC 7143, section 11.17).
func (cn *connection) reject(h pdu.Header, reason pdu.RejectReason, v Violation, detail string) {
	cn.violated(v, h.Opcode().String()+": "+detail)
	p := cn.room(cn.format.Size(pdu.HeaderSize))
	if p == nil {
		return
	}
	cn.sentStatus(pdu.Reject{Numbers: cn.numbers(), Reason: reason, Header: h}.Append(p, cn.format))
}
