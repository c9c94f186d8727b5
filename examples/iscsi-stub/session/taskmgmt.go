package session

import (
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// onTaskRequest does task management (RFC 7143, section 11.5). The response is sent when the
// tasks that it is about can not touch the medium any more.
func (cn *connection) onTaskRequest(h pdu.Header) {
	itt, lun, nexus := h.ITT(), h.LUN(), cn.session.nexus
	done := func() { cn.answerLater(itt, pdu.FunctionComplete) }
	found := true
	switch h.TaskFunction() {
	case pdu.AbortTask:
		cn.abortTask(h, done)
	case pdu.AbortTaskSet:
		found = nexus.AbortTaskSet(lun, done)
	case pdu.ClearTaskSet:
		found = nexus.ClearTaskSet(lun, done)
	case pdu.LogicalUnitReset:
		found = nexus.LogicalUnitReset(lun, done)
	case pdu.TargetWarmReset:
		nexus.ResetTarget(done)
	case pdu.TargetColdReset:
		nexus.ResetTarget(cn.server.closerOf(cn.session)) // which is the answer
	case pdu.TaskReassign:
		cn.answerTask(itt, pdu.ReassignmentNotSupported) // it takes error recovery level 2
	case pdu.ClearACA:
		cn.answerTask(itt, pdu.FunctionNotSupported) // NormACA is 0
	default:
		cn.answerTask(itt, pdu.FunctionRejected)
	}
	if !found {
		cn.answerTask(itt, pdu.LUNDoesNotExist)
	}
}

// abortTask aborts a task, or what is to become one.
func (cn *connection) abortTask(h pdu.Header, done func()) {
	s, itt, tag := cn.session, h.ITT(), h.ReferencedTag()
	s.mu.Lock()
	t := s.tasks.find(uint32(tag))
	exists := t != nil && t.cmd.LUN == h.LUN()
	s.mu.Unlock()
	switch {
	case exists:
		s.abort(func(t *task) bool { return t.itt == tag }, done)
	case t == nil && h.RefCmdSN().Before(h.CmdSN()) && s.plug(h.RefCmdSN()):
		cn.answerTask(itt, pdu.FunctionComplete)
		cn.deliverHeld(cn.c)
	default:
		cn.answerTask(itt, pdu.TaskDoesNotExist)
	}
}

// answerLater is answerTask for any goroutine.
func (cn *connection) answerLater(itt pdu.Tag, r pdu.TaskResult) {
	cn.c.Call(func(*engine.Conn) { cn.answerTask(itt, r) })
}

func (cn *connection) answerTask(itt pdu.Tag, r pdu.TaskResult) {
	if p := cn.room(cn.format.Size(0)); p != nil {
		cn.sentStatus(pdu.TaskResponse{Numbers: cn.numbers(), Result: r, ITT: itt}.Append(p, cn.format))
	}
}

// closerOf returns a function that ends all sessions of a session's target, as a cold reset
// does.
func (s *Server) closerOf(of *session) func() {
	return func() {
		for _, one := range s.sessions() {
			if one.tenancy == of.tenancy && one.info.Target == of.info.Target {
				one.end("target cold reset", nil)
			}
		}
	}
}
