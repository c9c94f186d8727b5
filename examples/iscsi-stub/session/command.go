package session

import (
	"errors"
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// begin is the first step of a task. data is its immediate data, which is the read buffer's:
// what is done with it before begin returns needs no copy.
func (cn *connection) begin(t *task, data []byte, final, enabled bool) {
	t.began = cn.c.Now()
	t.out.begin(cn.limits, cn.tag, t.expectOut, len(data), final)
	cn.tag += 1 << 8 // the task counts on from there
	if !final {
		cn.watch()
	}
	if enabled {
		cn.start(t, data)
		return
	}
	cn.hold(t, data)
}

// startEnabled starts tasks that had to wait for others. It is called as by
// engine.Conn.Call.
func (cn *connection) startEnabled(*engine.Conn) {
	for _, t := range cn.session.tasksOf(cn, func(t *task) bool { return t.enabled && !t.begun && !t.aborted }) {
		cn.start(t, nil)
	}
}

// start has the command checked. What fails now is not asked for its data.
func (cn *connection) start(t *task, data []byte) {
	t.begun = true
	t.next = cn.session.nexus.Start(&t.cmd)
	if t.next == scsi.NeedData {
		t.out.want(t.cmd.OutLen)
	}
	cn.advance(t, data)
}

// advance takes a task on from where it is; data is immediate data that lies in the read
// buffer. A response waits for all data that comes without being asked for (RFC 7143,
// section 11.4).
func (cn *connection) advance(t *task, data []byte) {
	d := &t.out
	switch {
	case d.unsolicited():
		cn.hold(t, data)
	case t.failed:
		if d.idle() {
			cn.sendStatus(t)
		}
	case d.fault != 0:
		if d.idle() {
			cn.violated(BadData, d.fault.String())
			t.fail(scsi.CheckCondition, d.fault)
			cn.sendStatus(t)
		}
	case t.next == scsi.Done:
		cn.respond(t)
	case t.next == scsi.Ready:
		cn.execute(t)
	case d.complete():
		switch {
		case data != nil:
			t.cmd.Out = data[:d.wanted]
		case t.block != nil:
			t.cmd.Out = t.block.b[:d.wanted]
		}
		cn.execute(t)
	case cn.hold(t, data):
		cn.solicit(t)
	}
}

// hold keeps immediate data, along with room for the unsolicited data that follow. What the
// command has no use for is not kept. It returns false if the tenant has no memory for it: then the
// command has failed.
func (cn *connection) hold(t *task, data []byte) bool {
	d := &t.out
	n := len(data)
	if d.unsolicited() {
		n = d.open[0].end
	}
	if t.begun {
		n = min(n, d.wanted)
	}
	if n == 0 || d.fault != 0 || t.failed || t.block != nil {
		return true
	}
	if !cn.tenancy.memory.try(n) {
		t.fail(scsi.TaskSetFull, 0)
		t.begun = true
		if d.idle() {
			cn.sendStatus(t)
		}
		return false
	}
	t.charged += n
	t.room(n, 0)
	copy(t.block.b[:t.block.size()], data)
	return true
}

// execute runs the command when its quality of service lets it, which is asked until it does:
// here, if it need not wait for anything.
func (cn *connection) execute(t *task) {
	t.cmd.Waited = cn.c.Lag()
	if d := t.cmd.Admit(time.Now()); d > 0 {
		t.keepOut()
		t.timer = cn.c.AfterFunc(d, func(*engine.Conn) {
			t.timer = nil
			cn.execute(t)
		})
		return
	}
	if t.cmd.Run(scsi.DontWait) {
		cn.respond(t)
		return
	}
	t.keepOut()
	cn.offload(t)
}

// keepOut moves data-out that lies in the read buffer into the task's own memory.
func (t *task) keepOut() {
	if len(t.cmd.Out) == 0 || t.block != nil {
		return
	}
	t.room(len(t.cmd.Out), 0)
	t.cmd.Out = t.block.b[:copy(t.block.b, t.cmd.Out)]
}

// offload gives the task to a worker.
func (cn *connection) offload(t *task) {
	t.working = true
	err := cn.c.Go(engine.Work{Run: t.run, Done: t.done, Dropped: t.dropped})
	if err == nil {
		return
	}
	t.working = false
	if errors.Is(err, engine.ErrBusy) {
		t.fail(scsi.TaskSetFull, 0)
		cn.sendStatus(t)
		return
	}
	cn.finish(t, true) // the connection is closing
}

// conclude responds, but not before the command's outcome stands.
func (cn *connection) conclude(t *task) {
	w := &settling{t}
	over := func(*engine.Conn) {
		switch {
		case w.t == nil:
		case cn.session.isAborted(t):
			cn.finish(t, true)
		default:
			cn.conclude(t)
		}
	}
	if t.cmd.Await(func() {
		if !cn.c.Call(over) { // the engine has stopped
			over(cn.c)
		}
	}) {
		t.settles = w
		return
	}
	t.settles = nil
	cn.respond(t)
}

// respond sends data-in and the status.
func (cn *connection) respond(t *task) {
	if t.total == 0 {
		t.total = min(t.cmd.InLen, t.expectIn)
	}
	if t.burst == 0 {
		t.burst = int(cn.params.MaxBurstLength)
	}
	if t.cmd.Status == scsi.CheckCondition || t.pos == t.total {
		cn.sendStatus(t)
		return
	}
	cn.sendIn(t)
}

// sendStatus ends a task with a SCSI Response.
func (cn *connection) sendStatus(t *task) {
	p := cn.room(cn.format.Size(2 + len(t.cmd.Sense)))
	n := cn.finish(t, false)
	if p != nil {
		r := pdu.SCSIResponse{
			Numbers: n, ITT: t.itt, Status: uint8(t.cmd.Status), Residual: t.residual(),
			ExpDataSN: t.dataSN + t.out.r2tSN, Sense: t.cmd.Sense,
		}
		r.StatSN = cn.statSN
		if t.both {
			r.BidiResidual = t.inResidual()
		}
		t.status = cn.statSN
		cn.sentStatus(r.Append(p, cn.format))
	}
	cn.release(t)
}

// finish takes a task out of its session and accounts for it. Unless it was dropped there is a
// response to be sent, with these numbers, and then release is to be called.
func (cn *connection) finish(t *task, dropped bool) pdu.Numbers {
	e := Ended{
		Unit: t.cmd.Unit(), LUN: t.cmd.LUN, Opcode: t.cdb[0], Name: t.cmd.Name(),
		BytesIn: t.pos, BytesOut: len(t.cmd.Out), Latency: t.latency(cn.c.Now()),
		Status: t.cmd.Status, SenseKey: t.cmd.SenseKey(), Aborted: dropped,
	}
	s := cn.session
	s.server.cfg.Observer.CommandEnded(&s.info, e)
	if !dropped {
		return s.remove(t, &e)
	}
	if !t.out.idle() {
		cn.spent.add(t.itt)
	}
	n := s.remove(t, &e)
	t.recycle()
	return n
}

// release gives up a task whose response is sent; with error recovery when that is
// acknowledged.
func (cn *connection) release(t *task) {
	if !cn.recovery.retain(t) {
		t.recycle()
	}
}

// drop lets go of what a task that is to end waits for. It is called on the connection's
// loop, while no worker has the task.
func (cn *connection) drop(t *task) {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if w := t.waiting; w != nil {
		t.waiting, w.t = nil, nil
		if !cn.tenancy.memory.withdraw(&w.grant) {
			cn.tenancy.memory.give(w.n, 1) // it has been granted meanwhile
		}
	}
	if w := t.settles; w != nil {
		t.settles, w.t = nil, nil
	}
	if t.sending {
		cn.unqueue(t)
	}
	if cn.filling == t {
		cn.filling = nil
		cn.orphan, t.block = t.block, nil
	}
}

// sweep ends the connection's tasks that were aborted, but for those that a worker has, or a
// copy, which are dropped by it: perhaps on its own goroutine, when the engine stops. It is called as by engine.Conn.Call.
func (cn *connection) sweep(*engine.Conn) {
	for _, t := range cn.session.tasksOf(cn, func(t *task) bool { return t.aborted && ours(t) }) {
		if t.settles != nil {
			t.working = true // no longer ours, if what it has begun goes on: it ends with that
			if t.cmd.Interrupt() {
				continue
			}
			t.working = false
		}
		cn.drop(t)
		cn.finish(t, true)
	}
}

// ours says that no worker has a task.
func ours(t *task) bool { return !t.working }

// tags is a few initiator task tags, the latest ones.
type tags struct {
	tags []pdu.Tag
	next int
}

func (l *tags) add(t pdu.Tag) {
	if len(l.tags) < 64 {
		l.tags = append(l.tags, t)
		return
	}
	l.tags[l.next] = t
	l.next = (l.next + 1) % len(l.tags)
}

func (l *tags) has(t pdu.Tag) bool {
	return slices.Contains(l.tags, t)
}
