package session

import (
	"context"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// task is a SCSI command from its arrival to its status. It belongs to the loop of its
// connection, but for what is marked as the session's, which the session's mutex guards, and
// but for the time that a worker has it.
type task struct {
	cmd   scsi.Command
	cn    *connection
	itt   pdu.Tag
	cmdSN pdu.Serial
	began time.Time
	cdb   []byte // what cmd.CDB lies in

	expectIn  int // bytes that the initiator is prepared to take
	expectOut int // and to send
	both      bool

	next    scsi.Next // what Start said
	begun   bool      // Start was called
	working bool      // a worker has it
	sending bool      // it is in the connection's line of those that have data-in to send
	stale   bool      // no data-out has come since the last look
	failed  bool      // the session itself has ended it
	timer   *engine.Timer

	out     dataOut
	block   *block // data-out, or data-in that a worker has read
	charged int    // bytes of the tenant's budget
	grants  int    // how often it has asked for them, and not just taken them
	waiting *waiting
	settles *settling

	total  int // bytes of data-in to send
	pos    int // that were sent
	burst  int // that the present sequence may still have
	dataSN uint32
	staged span // where the data-in in block belongs
	status pdu.Serial
	sense  [18]byte

	// The session's.
	hashNext, older, younger *task
	enabled                  bool // it may start
	aborted                  bool
	aborts                   []*abortion

	// Bound once, so that work costs no more than it must.
	run     func(context.Context) error
	done    func(*engine.Conn, error)
	dropped func(error)
}

// waiting is a task's place in the line for memory.
type waiting struct {
	grant
	t *task // nil once the task has gone; the loop's
}

// settling is a task's wait for what its outcome depends on, when its command has run.
type settling struct{ t *task } // nil once the task has gone; the loop's

var tasks sync.Pool

// newTask is a task for a SCSI Command, whose header is looked at and not kept.
func newTask(cn *connection, h pdu.Header) *task {
	t, ok := tasks.Get().(*task)
	if !ok {
		t = new(task)
		t.run, t.done, t.dropped = t.onWorker, t.onDone, t.onDropped
	}
	t.cn, t.itt, t.cmdSN = cn, h.ITT(), h.CmdSN()
	t.cdb = append(append(t.cdb[:0], h.CDB()...), h.ExtendedCDB()...)
	t.cmd.LUN, t.cmd.CDB, t.cmd.Attribute = h.LUN(), t.cdb, scsi.TaskAttribute(h.Attribute())
	expected := int(h.ExpectedLength())
	switch {
	case h.Read() && h.Write():
		n, _ := h.BidiReadLength()
		t.expectOut, t.expectIn, t.both = expected, int(n), true
	case h.Write():
		t.expectOut = expected
		t.cmd.Expected = expected
	case h.Read():
		t.expectIn = expected
	}
	return t
}

// recycle gives a task up that nobody knows any more. Only what can be used again is kept.
func (t *task) recycle() {
	t.cmd.End()
	t.freeBlock()
	*t = task{
		cmd: t.cmd, cdb: t.cdb[:0], aborts: t.aborts[:0],
		out: dataOut{open: t.out.open[:0], lost: t.out.lost[:0]},
		run: t.run, done: t.done, dropped: t.dropped,
	}
	tasks.Put(t)
}

// freeBlock gives the task's memory back, and what it has of the budget.
func (t *task) freeBlock() {
	t.block.free()
	t.block = nil
	if t.charged > 0 {
		t.cn.tenancy.memory.give(t.charged, t.grants)
		t.charged, t.grants = 0, 0
	}
}

// room makes the block hold n bytes, and keeps the first have of what is in it. It is charged
// to the tenant in any case.
func (t *task) room(n, have int) {
	if n > t.charged {
		t.cn.tenancy.memory.force(n - t.charged)
		t.charged = n
	}
	if t.block.size() >= n {
		return
	}
	larger := newBlock(n)
	if t.block != nil {
		copy(larger.b, t.block.b[:have])
		t.block.free()
	}
	t.block = larger
}

// fail ends the command for a reason that scsi does not know of.
func (t *task) fail(status scsi.Status, code scsi.Code) {
	t.failed = true
	t.cmd.Status, t.cmd.InLen, t.cmd.Sense = status, 0, nil
	if status == scsi.CheckCondition {
		t.cmd.Sense = scsi.Sense{Key: scsi.AbortedCommand, Code: code}.Append(t.sense[:0], false)
	}
}

// residual is how many bytes more than expected the command had, or, negative, fewer
// (RFC 7143, section 11.4.5).
func (t *task) residual() int64 {
	switch {
	case t.expectOut > 0 || t.cmd.OutLen > 0 && t.expectIn == 0:
		return int64(t.cmd.OutLen) - int64(t.expectOut)
	default:
		return t.inResidual()
	}
}

func (t *task) inResidual() int64 {
	return int64(max(t.cmd.InLen, t.pos)) - int64(t.expectIn)
}

// stage is how much data-in a worker reads at once, in bytes.
const stage = 256 << 10

// onWorker runs what must wait: the command, if it has not run yet, and the data-in that
// comes next.
func (t *task) onWorker(context.Context) error {
	if t.cn.session.isAborted(t) {
		return nil
	}
	if t.total == 0 {
		t.cmd.Run(scsi.MayWait)
		t.total = min(t.cmd.InLen, t.expectIn)
	}
	if n := min(t.total-t.pos, stage); n > 0 {
		t.room(n, 0)
		if t.cmd.ReadIn(t.block.b[:n], t.pos, scsi.MayWait) {
			t.staged = span{t.pos, t.pos + n}
		}
	}
	return nil
}

// onDone takes the task back from the worker.
func (t *task) onDone(_ *engine.Conn, err error) {
	cn := t.cn
	if cn.session.isAborted(t) {
		t.abandon()
		return
	}
	t.working = false
	switch {
	case err != nil: // it has not begun in time
		t.fail(scsi.Busy, 0)
		cn.sendStatus(t)
	default:
		cn.conclude(t)
	}
}

// onDropped is the end of a task whose connection has gone meanwhile. Any goroutine may call
// it.
func (t *task) onDropped(error) { t.abandon() }

// abandon ends a task that was aborted while a worker had it, when what the worker has begun is
// over. Any goroutine may call it: the task is the worker's to the end, its loop may be looking.
func (t *task) abandon() {
	end := func() { t.cn.finish(t, true) }
	if !t.cmd.Interrupt() || !t.cmd.Await(end) {
		end()
	}
}
