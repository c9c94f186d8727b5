package session

import (
	"errors"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// find is the connection's task with a tag, or nil. A task's data comes by the connection
// that its command has come by (RFC 7143, section 4.2.5.1).
func (cn *connection) find(itt pdu.Tag) *task {
	s := cn.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks.find(uint32(itt)); t != nil && t.cn == cn && !t.aborted {
		return t
	}
	return nil
}

// place is where the decoder puts a body of n bytes: the data of a Data-Out in the block of
// its task, if it is in order there; all else, which is nil, stays in the read buffer.
func (cn *connection) place(h pdu.Header, n int) []byte {
	if h.Opcode() != pdu.OpDataOut || cn.session == nil {
		return nil
	}
	t := cn.find(h.ITT())
	if t == nil || t.block == nil || t.working {
		return nil
	}
	at, length := int(h.BufferOffset()), h.DataLength()
	if !t.out.inPlace(h.TTT(), h.DataSN(), at, length) || at+length > t.block.size() {
		return nil
	}
	cn.filling = t
	return t.block.b[at : at+n]
}

// onDataOut takes data for a task.
func (cn *connection) onDataOut(m message, data []byte, good bool) {
	h := m.Header
	if m.Owned { // it was received in place
		cn.filling = nil
		if cn.orphan != nil {
			cn.orphan.free()
			cn.orphan = nil
			return
		}
	}
	t := cn.find(h.ITT())
	if t == nil {
		cn.strayData(h, data, good)
		return
	}
	if !good {
		cn.reject(h, pdu.RejectDataDigest, BadDataDigest, pdu.ErrDataDigest.Error())
	}
	t.stale = false
	at := int(h.BufferOffset())
	switch t.out.accept(h.TTT(), h.DataSN(), at, len(data), h.Final(), good) {
	case refuse:
		cn.reject(h, pdu.RejectInvalidField, UnknownTag, "nobody has asked for these data")
		return
	case keep:
		if room := t.block.size(); !m.Owned && at < room {
			copy(t.block.b[at:room], data)
		}
	}
	if t.begun {
		cn.advance(t, nil)
	}
}

// strayData is a Data-Out PDU of no task that is there.
func (cn *connection) strayData(h pdu.Header, data []byte, good bool) {
	known, fits := cn.session.holdData(cn, h, data, good)
	switch {
	case known && !fits:
		cn.fail(ProtocolError, errTooMuchAhead)
	case known, cn.session.aborting(h.ITT()), cn.spent.has(h.ITT()): // it was aborted when these were under way
	default:
		cn.reject(h, pdu.RejectInvalidField, UnknownTag, "data of no task")
	}
}

// aborting says whether a task is about to end without a response.
func (s *session) aborting(itt pdu.Tag) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks.find(uint32(itt))
	return t != nil && t.aborted
}

var (
	errTooMuchAhead = errors.New("too much ahead of its turn")
	errDataLate     = errors.New("data that was asked for has not come")
)

// solicit asks for the data that has not come, once there is memory for all of it.
func (cn *connection) solicit(t *task) {
	if missing := t.out.wanted - t.charged; missing > 0 {
		if t.waiting != nil {
			return
		}
		w := &waiting{t: t}
		w.n, w.ready = missing, func() { cn.c.Call(w.granted) }
		if !cn.tenancy.memory.take(&w.grant) {
			t.waiting = w
			return
		}
		t.charged += missing
		t.grants++
	}
	t.room(t.out.wanted, t.out.asked)
	for {
		r, ok := t.out.solicit()
		if !ok {
			return
		}
		cn.sendR2T(t, r)
	}
}

// granted has a task go on that has waited for memory. It is called as by engine.Conn.Call.
func (w *waiting) granted(*engine.Conn) {
	t := w.t
	if t == nil {
		return // it has gone
	}
	t.waiting = nil
	t.charged += w.n
	t.grants++
	t.cn.solicit(t)
}

func (cn *connection) sendR2T(t *task, r r2t) {
	p := cn.room(cn.format.Size(0))
	if p == nil {
		return
	}
	cn.sent(pdu.R2T{
		Numbers: cn.numbers(), LUN: t.cmd.LUN, ITT: t.itt, TTT: r.ttt,
		R2TSN: r.sn, Offset: uint32(r.from), Desired: uint32(r.to - r.from),
	}.Append(p, cn.format))
	cn.watch()
}

// watch has an eye on data that are to come. Twice in DataTimeout is often enough.
func (cn *connection) watch() {
	if cn.watching {
		return
	}
	cn.watching = true
	every := cn.server.cfg.DataTimeout / 2
	if cn.dataTimer == nil {
		cn.dataTimer = cn.c.AfterFunc(every, cn.checkData)
	} else {
		cn.dataTimer.Reset(every)
	}
}

// checkData ends the connection if a task waits in vain: without recovery there is no other
// way to ask again (RFC 7143, section 7.5).
func (cn *connection) checkData(*engine.Conn) {
	cn.watching = false
	open := cn.session.tasksOf(cn, ours)
	again := false
	for _, t := range open {
		switch {
		case t.out.idle():
		case t.stale:
			cn.fail(DataTimedOut, errDataLate)
			return
		default:
			t.stale, again = true, true
		}
	}
	if again {
		cn.watch()
	}
}
