package session

import (
	"slices"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// sendIn sends a task's data-in, as far as there is room, and its status with the last of
// it. The volume is read straight into the connection's output.
func (cn *connection) sendIn(t *task) {
	for t.pos < t.total {
		if len(cn.sending) > 0 && cn.sending[0] != t || cn.c.Congested() || cn.c.Yield() {
			cn.queue(t) // OnWritable goes on
			return
		}
		if !cn.sendPiece(t) {
			return
		}
	}
}

// sendPiece sends one Data-In PDU. It returns false if the task is not to go on now: it has
// ended, or a worker has it.
func (cn *connection) sendPiece(t *task) bool {
	n := min(t.total-t.pos, t.burst, cn.server.cfg.DataIn, int(cn.params.MaxSendDataSegmentLength))
	p := cn.room(cn.format.Size(n))
	if p == nil {
		return false // the connection ends, and the task with it
	}
	header := cn.format.HeaderSize()
	if !cn.read(t, p[header:header+n]) {
		cn.unqueue(t)
		cn.sent(p) // nothing
		if t.cmd.Status == scsi.CheckCondition {
			cn.sendStatus(t)
		} else {
			cn.offload(t)
		}
		return false
	}
	in := pdu.DataIn{LUN: t.cmd.LUN, ITT: t.itt, TTT: pdu.NoTag, DataSN: t.dataSN, Offset: uint32(t.pos)}
	t.pos += n
	t.burst -= n
	t.dataSN++
	last := t.pos == t.total
	in.Final = last || t.burst == 0
	if t.burst == 0 {
		t.burst = int(cn.params.MaxBurstLength)
	}
	in.HasStatus = last && cn.recovery == nil && !t.both
	if in.HasStatus {
		cn.unqueue(t)
		in.Numbers = cn.finish(t, false)
		in.StatSN, in.Status, in.Residual = cn.statSN, uint8(t.cmd.Status), t.residual()
	} else {
		in.Numbers = cn.session.numbers()
	}
	in.AppendHeader(p, cn.format, n)
	p = cn.format.AppendTrailer(p[:header+n], n)
	switch {
	case in.HasStatus:
		cn.sentStatus(p)
		cn.release(t)
		return false
	case last:
		cn.unqueue(t)
		cn.sent(p)
		cn.sendStatus(t)
		return false
	}
	cn.sent(p)
	return true
}

// read fills p with what comes next, unless a worker has to.
func (cn *connection) read(t *task, p []byte) bool {
	if t.staged.from <= t.pos && t.pos+len(p) <= t.staged.end {
		copy(p, t.block.b[t.pos-t.staged.from:])
		return true
	}
	return t.cmd.ReadIn(p, t.pos, scsi.DontWait)
}

// queue puts a task into the line of those that go on when there is room. Only the first of
// them holds what a worker has read: a peer that takes nothing costs no more than that.
func (cn *connection) queue(t *task) {
	if t.sending {
		return
	}
	t.sending = true
	cn.sending = append(cn.sending, t)
	if cn.sending[0] != t && t.staged.end > 0 {
		t.freeBlock()
		t.staged = span{}
	}
}

func (cn *connection) unqueue(t *task) {
	if t.sending {
		t.sending = false
		cn.sending = slices.DeleteFunc(cn.sending, func(o *task) bool { return o == t })
	}
}

// sendOn goes on sending data-in, the task that has waited longest first.
func (cn *connection) sendOn() {
	for len(cn.sending) > 0 && !cn.c.Ending() && !cn.c.Congested() && !cn.c.Yield() {
		cn.sendIn(cn.sending[0])
	}
}
