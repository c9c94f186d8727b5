package session

import (
	"slices"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// onPDU takes a PDU of the full feature phase.
func (cn *connection) onPDU(m message) {
	h := m.Header
	data, err := cn.format.Data(m)
	cn.recovery.acknowledge(cn, h.ExpStatSN())
	switch h.Opcode() {
	case pdu.OpDataOut:
		cn.onDataOut(m, data, err == nil)
	case pdu.OpSNACK:
		cn.onSNACK(h)
	default:
		if err != nil {
			cn.reject(h, pdu.RejectDataDigest, BadDataDigest, err.Error())
			return
		}
		cn.onRequest(h, data)
	}
}

// onRequest takes a request with a CmdSN: it is delivered when those before it have been,
// or at once if it is immediate (RFC 7143, section 4.2.2.1).
func (cn *connection) onRequest(h pdu.Header, data []byte) {
	if reason, v, detail := cn.check(h, data); v != "" {
		cn.rejectRequest(h, reason, v, detail)
		return
	}
	s := cn.session
	s.mu.Lock()
	at := due
	switch {
	case !h.Immediate():
		at = s.window.place(h.CmdSN())
		if _, taken := s.findHeld(h.CmdSN()); taken {
			at = outside // it has come before, or its task was aborted
		}
	case h.Opcode() == pdu.OpTaskRequest && h.TaskFunction() != pdu.AbortTask:
		at = s.window.placeImmediate(h.CmdSN()) // it may be about requests that have not all come yet
	}
	switch at {
	case outside:
		s.mu.Unlock()
		cn.violated(OutsideWindow, h.Opcode().String())
	case early:
		full := h.Immediate() && len(s.held) >= 2*s.server.cfg.Window
		fits := full || s.hold(cn, h, data)
		s.mu.Unlock()
		switch {
		case full:
			cn.reject(h, pdu.RejectImmediate, TooMany, "too many immediate requests")
		case !fits:
			cn.fail(ProtocolError, errTooMuchAhead)
		}
	default:
		cn.deliver(h, data)
		cn.deliverHeld(cn.c)
	}
}

// rejectRequest rejects a request. Its number is taken up: initiators do not send another request
// with it, and all that they send later would wait for that.
func (cn *connection) rejectRequest(h pdu.Header, reason pdu.RejectReason, v Violation, detail string) {
	if v != NotSupported && !h.Immediate() {
		if !cn.session.plug(h.CmdSN()) {
			cn.violated(OutsideWindow, h.Opcode().String())
			return
		}
		cn.deliverHeld(cn.c)
	}
	cn.reject(h, reason, v, detail)
}

// check finds what is wrong with a request by itself.
func (cn *connection) check(h pdu.Header, data []byte) (reason pdu.RejectReason, v Violation, detail string) {
	switch op := h.Opcode(); op {
	case pdu.OpSCSICommand:
		switch {
		case cn.session.nexus == nil:
			return pdu.RejectProtocolError, ProtocolError, "in a discovery session"
		case h.ITT() == pdu.NoTag:
			return pdu.RejectInvalidField, InvalidField, "reserved task tag"
		case !h.ValidAHS():
			return pdu.RejectInvalidField, InvalidField, "additional header segments"
		case !h.Final() && !h.Write(), len(data) > 0 && !h.Write():
			return pdu.RejectProtocolError, ProtocolError, "data of a command that sends none"
		}
	case pdu.OpTaskRequest, pdu.OpLogoutRequest:
		if h.ITT() == pdu.NoTag {
			return pdu.RejectInvalidField, InvalidField, "reserved task tag"
		}
		if op == pdu.OpTaskRequest && cn.session.nexus == nil {
			return pdu.RejectProtocolError, ProtocolError, "in a discovery session"
		}
	case pdu.OpTextRequest:
	case pdu.OpNOPOut:
		if h.ITT() == pdu.NoTag && !h.Immediate() {
			return pdu.RejectProtocolError, ProtocolError, "an answer that is not immediate"
		}
	case pdu.OpLoginRequest:
		return pdu.RejectProtocolError, ProtocolError, "in the full feature phase"
	default:
		return pdu.RejectNotSupported, NotSupported, op.String()
	}
	return 0, "", ""
}

// deliver takes a request whose turn it is. The session's mutex is held, and released.
func (cn *connection) deliver(h pdu.Header, data []byte) {
	s := cn.session
	if h.Opcode() == pdu.OpSCSICommand {
		cn.deliverCommand(h, data)
		return
	}
	if !h.Immediate() {
		s.window.take()
		s.reopen()
	}
	s.mu.Unlock()
	switch h.Opcode() {
	case pdu.OpTaskRequest:
		cn.onTaskRequest(h)
	case pdu.OpTextRequest:
		cn.onText(h, data)
	case pdu.OpLogoutRequest:
		cn.onLogout(h)
	case pdu.OpNOPOut:
		cn.onNOPOut(h, data)
	}
}

// deliverCommand takes a SCSI Command. The session's mutex is held, and released. Its place
// among the tasks is that of its CmdSN, on whichever loop it comes.
func (cn *connection) deliverCommand(h pdu.Header, data []byte) {
	s := cn.session
	if s.ended { // as revoked, maybe: its connections are about to go
		s.mu.Unlock()
		return
	}
	if s.tasks.find(uint32(h.ITT())) != nil {
		if !h.Immediate() {
			s.window.take()
			s.reopen()
		}
		s.mu.Unlock()
		cn.reject(h, pdu.RejectTaskInProgress, DuplicateTag, "the task tag is in use")
		return
	}
	if h.Immediate() && s.tasks.n >= 2*s.server.cfg.Window {
		s.mu.Unlock()
		cn.reject(h, pdu.RejectImmediate, TooMany, "too many immediate commands")
		return
	}
	if !h.Immediate() {
		s.window.take()
	}
	t := newTask(cn, h)
	t.enabled = s.tasks.add(t)
	enabled := t.enabled
	s.mu.Unlock()
	cn.begin(t, data, h.Final(), enabled)
}

// hold keeps a request that came early; mu is held. It returns false if the tenant has no memory
// for it.
func (s *session) hold(cn *connection, h pdu.Header, data []byte) bool {
	sn, tmf := h.CmdSN(), h.Immediate()
	i, _ := s.findHeld(sn)
	e := &held{sn: sn, cn: cn, tmf: tmf}
	if !e.add(h, data, true) {
		return false
	}
	s.held = slices.Insert(s.held, i, e)
	return true
}

// findHeld finds the request of a number that is held, or where it belongs: behind immediate ones
// with that number, which is that of the next request; mu is held.
func (s *session) findHeld(sn pdu.Serial) (i int, taken bool) {
	i, taken = slices.BinarySearchFunc(s.held, sn, func(o *held, sn pdu.Serial) int { return o.sn.Sub(sn) })
	for taken && s.held[i].tmf {
		i++
		taken = i < len(s.held) && s.held[i].sn == sn
	}
	return i, taken
}

// add keeps a PDU, if there is memory for it.
func (e *held) add(h pdu.Header, data []byte, good bool) bool {
	n := len(h) + len(data)
	if !e.cn.tenancy.memory.try(n) {
		return false
	}
	e.pdus = append(e.pdus, heldPDU{slices.Clone(h), slices.Clone(data), good})
	e.size += n
	return true
}

// free gives the memory of what was held back.
func (e *held) free() {
	if e.size > 0 {
		e.cn.tenancy.memory.give(e.size, 0)
		e.size = 0
	}
}

// holdData keeps data of a command that is held. It says whether there is one.
func (s *session) holdData(cn *connection, h pdu.Header, data []byte, good bool) (known, fits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.held {
		if e.cn != cn || e.pdus[0].header.Opcode() != pdu.OpSCSICommand || e.pdus[0].header.ITT() != h.ITT() {
			continue
		}
		return true, len(e.pdus) <= 1024 && e.add(h, data, good)
	}
	return false, false
}

// plug takes up the number of a request that is never to come, for its task was aborted first
// (RFC 7143, section 11.5.1), or that is not to be delivered. It says whether the request was still
// to come.
func (s *session) plug(sn pdu.Serial) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.window.place(sn) == outside {
		return false
	}
	i, taken := s.findHeld(sn)
	if taken {
		s.held[i].free()
		s.held[i].cn, s.held[i].pdus = nil, nil
		return true
	}
	s.held = slices.Insert(s.held, i, &held{sn: sn})
	return true
}

// deliverHeld delivers the requests that were held and whose turn has come. It is called as by
// engine.Conn.Call, on the loop of one of the session's connections; those of another are
// left to its loop.
func (cn *connection) deliverHeld(*engine.Conn) {
	s := cn.session
	for {
		s.mu.Lock()
		e := s.dueHeld()
		if e == nil {
			s.mu.Unlock()
			return
		}
		if e.cn != cn {
			s.mu.Unlock()
			e.cn.c.Call(e.cn.deliverHeld)
			return
		}
		s.held = slices.DeleteFunc(s.held, func(o *held) bool { return o == e })
		cn.deliver(e.pdus[0].header, e.pdus[0].data)
		for _, p := range e.pdus[1:] {
			cn.onDataOut(message{Header: p.header}, p.data, p.good)
		}
		e.free()
	}
}

// dueHeld is the request that was held and is due, or nil; mu is held.
func (s *session) dueHeld() *held {
	for len(s.held) > 0 {
		e := s.held[0]
		switch {
		case s.window.next.Before(e.sn):
			return nil
		case e.cn != nil && (e.tmf || e.sn == s.window.next):
			return e
		case e.sn == s.window.next: // only its number was held
			s.window.take()
			s.reopen()
		}
		s.held = slices.Delete(s.held, 0, 1)
	}
	return nil
}
