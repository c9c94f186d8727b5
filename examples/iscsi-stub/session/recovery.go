package session

import (
	"slices"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// recoveryLevel is the highest error recovery level that is supported.
const recoveryLevel = 1

// recovery is what a connection keeps for error recovery level 1, to send it again: statuses
// that are not acknowledged, and the tasks they are of. It is nil at level 0.
type recovery struct {
	statuses []keptStatus
	tasks    []*task
}

type keptStatus struct {
	sn  pdu.Serial
	pdu []byte
}

// maxKept is how many statuses a peer may leave unacknowledged before the oldest can not be had again.
const maxKept = 1024

// keep keeps a PDU that takes a StatSN.
func (r *recovery) keep(sn pdu.Serial, p []byte) {
	if r == nil {
		return
	}
	if len(r.statuses) == maxKept {
		r.drop(r.statuses[0].sn + 1)
	}
	r.statuses = append(r.statuses, keptStatus{sn, slices.Clone(p)})
}

// retain keeps a task whose status was sent.
func (r *recovery) retain(t *task) bool {
	if r == nil {
		return false
	}
	t.freeBlock() // data-in is read anew; others wait for the memory
	t.staged = span{}
	t.cmd.Settle()
	r.tasks = append(r.tasks, t)
	return true
}

// acknowledge lets go of what the initiator has got.
func (r *recovery) acknowledge(cn *connection, next pdu.Serial) {
	if r == nil || cn.statSN.Before(next) {
		return
	}
	r.drop(next)
}

func (r *recovery) drop(next pdu.Serial) {
	r.statuses = slices.DeleteFunc(r.statuses, func(k keptStatus) bool { return k.sn.Before(next) })
	r.tasks = slices.DeleteFunc(r.tasks, func(t *task) bool {
		if !t.status.Before(next) {
			return false
		}
		t.recycle()
		return true
	})
}

// end lets go of everything.
func (r *recovery) end() {
	if r == nil {
		return
	}
	for _, t := range r.tasks {
		t.recycle()
	}
	*r = recovery{}
}

// find is a retained task.
func (r *recovery) find(itt pdu.Tag) *task {
	for _, t := range slices.Backward(r.tasks) {
		if t.itt == itt {
			return t
		}
	}
	return nil
}

// onSNACK sends again what was lost to a bad digest (RFC 7143, section 11.16).
func (cn *connection) onSNACK(h pdu.Header) {
	ok := false
	if cn.recovery != nil {
		switch h.SNACKType() {
		case pdu.SNACKStatus:
			ok = cn.sendStatusAgain(pdu.Serial(h.BegRun()), h.RunLength())
		case pdu.SNACKData:
			ok = cn.sendDataAgain(h.ITT(), h.BegRun(), h.RunLength())
		}
	}
	if !ok {
		cn.reject(h, pdu.RejectSNACK, ProtocolError, "nothing to be had again")
	}
}

func (cn *connection) sendStatusAgain(from pdu.Serial, n uint32) bool {
	ok := false
	for _, k := range cn.recovery.statuses {
		if k.sn.Before(from) || n > 0 && k.sn.Sub(from) >= int(n) {
			continue
		}
		if p := cn.room(len(k.pdu)); p != nil {
			cn.sent(append(p, k.pdu...))
		}
		ok = true
	}
	return ok || n == 0
}

// sendDataAgain sends a task's R2Ts again, or its Data-In PDUs, which are read anew.
func (cn *connection) sendDataAgain(itt pdu.Tag, from, n uint32) bool {
	t := cn.find(itt)
	if t == nil {
		t = cn.recovery.find(itt)
	}
	switch {
	case t == nil || t.working:
		return false
	case t.expectIn == 0:
		t.out.outstanding(from, func(r r2t) {
			if n == 0 || r.sn < from+n {
				cn.sendR2T(t, r)
			}
		})
		return true
	case from >= t.dataSN && from > 0:
		return false
	}
	return cn.resend(t, from, n)
}

// resend goes through the Data-In PDUs of a task as sendPiece has cut them. MaxSendDataSegmentLength
// must be what it was: an initiator that has changed it asks by an R-Data SNACK, which is
// rejected.
func (cn *connection) resend(t *task, from, n uint32) bool {
	end := t.dataSN
	if n > 0 {
		end = min(end, from+n)
	}
	burst := int(cn.params.MaxBurstLength)
	most := min(burst, cn.server.cfg.DataIn, int(cn.params.MaxSendDataSegmentLength))
	each := uint32((burst + most - 1) / most) // PDUs a sequence
	for sn := from; sn < end; sn++ {
		within := int(sn%each) * most
		pos := int(sn/each)*burst + within
		length := min(t.total-pos, burst-within, most)
		in := pdu.DataIn{
			Numbers: cn.numbers(), Final: pos+length == t.total || within+length == burst,
			LUN: t.cmd.LUN, ITT: t.itt, TTT: pdu.NoTag, DataSN: sn, Offset: uint32(pos),
		}
		if length <= 0 || !cn.resendPiece(t, in, length) {
			return false
		}
	}
	return true
}

func (cn *connection) resendPiece(t *task, in pdu.DataIn, n int) bool {
	p := cn.room(cn.format.Size(n))
	if p == nil {
		return true
	}
	header := cn.format.HeaderSize()
	if !t.cmd.ReadIn(p[header:header+n], int(in.Offset), false) {
		cn.sent(p)
		return false
	}
	in.AppendHeader(p, cn.format, n)
	cn.sent(cn.format.AppendTrailer(p[:header+n], n))
	return true
}
