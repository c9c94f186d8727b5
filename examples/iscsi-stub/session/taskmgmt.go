package session

import (
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// onTaskRequest does task management (RFC 7143, section 11.5). The response is sent when the
// tasks that it is about can not touch the medium any more.
func (cn *connection) onTaskRequest(h pdu.Header) {
	itt, lun, nexus := h.ITT(), h.LUN(), cn.session.nexus
	if cn.managing >= 2*cn.server.cfg.Window { // the window does not limit immediate ones
		cn.answerTask(itt, pdu.FunctionRejected)
		return
	}
	cn.managing++
	answer := func(r pdu.TaskResult) {
		cn.managing--
		cn.answerTask(itt, r)
	}
	done := func() { cn.c.Call(func(*engine.Conn) { answer(pdu.FunctionComplete) }) }
	found := true
	switch h.TaskFunction() {
	case pdu.AbortTask:
		cn.abortTask(h, done, answer)
	case pdu.AbortTaskSet:
		found = nexus.AbortTaskSet(lun, done)
	case pdu.ClearTaskSet:
		found = nexus.ClearTaskSet(lun, done)
	case pdu.LogicalUnitReset:
		found = nexus.LogicalUnitReset(lun, done)
	case pdu.TargetWarmReset:
		nexus.ResetTarget(done)
	case pdu.TargetColdReset:
		nexus.ResetTarget(func() { cn.c.Call(func(*engine.Conn) { cn.coldReset(itt) }) })
	case pdu.TaskReassign:
		answer(pdu.ReassignmentNotSupported) // it takes error recovery level 2
	case pdu.ClearACA:
		answer(pdu.FunctionNotSupported) // NormACA is 0
	default:
		answer(pdu.FunctionRejected)
	}
	if !found {
		answer(pdu.LUNDoesNotExist)
	}
}

// abortTask aborts a task, or what is to become one.
func (cn *connection) abortTask(h pdu.Header, done func(), answer func(pdu.TaskResult)) {
	s, tag := cn.session, h.ReferencedTag()
	s.mu.Lock()
	t := s.tasks.find(uint32(tag))
	exists := t != nil && t.cmd.LUN == h.LUN()
	s.mu.Unlock()
	switch {
	case exists:
		s.abort(func(t *task) bool { return t.itt == tag }, done)
	case t == nil && h.RefCmdSN().Before(h.CmdSN()) && s.plug(h.RefCmdSN()):
		cn.spent.add(tag) // its data may be under way
		answer(pdu.FunctionComplete)
		cn.deliverHeld(cn.c)
	default:
		answer(pdu.TaskDoesNotExist)
	}
}

func (cn *connection) answerTask(itt pdu.Tag, r pdu.TaskResult) {
	if p := cn.room(cn.format.Size(0)); p != nil {
		cn.sentStatus(pdu.TaskResponse{Numbers: cn.numbers(), Result: r, ITT: itt}.Append(p, cn.format))
	}
}

// coldReset answers, and then ends all sessions of the target, this one in order so that the
// answer gets out.
func (cn *connection) coldReset(itt pdu.Tag) {
	cn.answerTask(itt, pdu.FunctionComplete)
	s := cn.session
	for _, one := range cn.server.sessions() {
		if one != s && one.tenancy == s.tenancy && one.info.Target == s.info.Target {
			one.end(byColdReset, nil)
		}
	}
	s.mu.Lock()
	if !s.ended {
		s.ended, s.why = true, byColdReset
	}
	s.mu.Unlock()
	cn.c.Close() // the last connection takes the others with it
}

// byColdReset is why sessions ended.
const byColdReset = "target cold reset"
