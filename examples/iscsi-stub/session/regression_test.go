package session

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// occupy has somebody update the volume's first MiB, and returns how to end that: until then
// what touches it has to wait, on a worker.
func (f *fixture) occupy() (release func()) {
	f.t.Helper()
	v, has, over := f.unit.Volume(), make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := v.Update(0, v.BlockSize(), false, volume.MayWait, func([]byte) error {
			close(has)
			<-over
			return nil
		})
		if err != nil && !errors.Is(err, volume.ErrTruncated) {
			f.t.Error(err)
		}
	})
	<-has
	release = sync.OnceFunc(func() {
		close(over)
		wg.Wait()
	})
	f.t.Cleanup(release)
	return release
}

// until waits for something to hold.
func (f *fixture) until(what string, holds func() bool) {
	f.t.Helper()
	for late := time.Now().Add(30 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(late) {
			f.t.Fatalf("not in 30 s: %s", what)
		}
	}
}

// reading waits until a worker has memory to read into, and so is past asking whether its task
// was aborted.
func (f *fixture) reading() {
	f.t.Helper()
	f.until("a worker reads", func() bool { return f.inUse() > 0 })
}

func (f *fixture) inUse() int {
	return f.server.tenancy(&Tenant{Name: "a", Limits: f.limits}).memory.inUse()
}

// fill writes random bytes to the first so many blocks of the volume.
func (f *fixture) fill(blocks int) []byte {
	f.t.Helper()
	data := make([]byte, blocks*512)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	if err := f.unit.Volume().WriteAt(data, 0, false, volume.MayWait); err != nil {
		f.t.Fatal(err)
	}
	return data
}

// A unit is reset while another initiator logs in: the reset wanted to abort tasks of a session
// that had no nexus yet.
func TestResetDuringLogin(t *testing.T) {
	f := newFixture(t, options{})
	resetter := f.dial(initiator.Config{})
	ctx, stop := context.WithCancel(f.context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := resetter.Manage(ctx, pdu.LogicalUnitReset, lun0, nil); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	for range 60 {
		s, err := initiator.Dial(f.context(), f.address, initiator.Config{Target: targetName})
		if err != nil {
			t.Error(err)
			break
		}
		_ = s.Close()
	}
	stop()
	wg.Wait()
}

// Work gets stuck, and its connection ends without it. A reset that looked at the task just when
// the worker gave it up ended it a second time.
func TestResetOfStuckTask(t *testing.T) {
	f := newFixture(t, options{engine: engine.Config{Loops: 1, WorkTimeout: 10 * time.Millisecond, StallAfter: 10 * time.Millisecond}})
	c, other := f.client(t), f.client(t, "MaxConnections=1")
	release := f.occupy()
	c.send(c.next(read10(2, 8)))
	c.closed()
	other.send(pdu.TaskRequest{Immediate: true, Function: pdu.LogicalUnitReset, ITT: 9, ReferencedTag: pdu.NoTag, CmdSN: other.sn})
	f.until("the reset aborts the task", func() bool {
		return slices.ContainsFunc(f.server.sessions(), func(s *session) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			t := s.tasks.find(2)
			return t != nil && len(t.aborts) > 1 // the first is the end of its connection
		})
	})
	release()
	if p := other.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete {
		t.Errorf("reset: %v", p.TaskResult())
	}
}

// Writes larger than the tenant's whole budget came with immediate data, which was charged to
// it: each waited for the others, or for itself, for ever.
func TestBudgetIsNotWaitedForInACircle(t *testing.T) {
	f := newFixture(t, options{limits: Limits{DataOut: 80 << 10}, prefer: login.Preferences{FirstBurstLength: 8192}})
	s := f.dial(initiator.Config{Keys: []string{"ImmediateData=Yes", "InitialR2T=Yes"}})
	var tasks []*initiator.Task
	for i := range 5 {
		task, err := s.Start(f.context(), initiator.Write(lun0, uint64(i)*256, make([]byte, 128<<10), 512))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	for _, task := range tasks {
		if _, err := task.Wait(f.context()); err != nil {
			t.Fatal(err)
		}
	}
}

// At error recovery level 1 a READ whose status is not acknowledged kept the block that a worker
// had read into: who said nothing more took the budget from all others.
func TestRetainedTasksHoldNoMemory(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{ErrorRecoveryLevel: 1}})
	data := f.fill(200)
	c := f.client(t, "ErrorRecoveryLevel=1", "MaxRecvDataSegmentLength=262144")
	release := f.occupy()
	c.send(c.next(read10(2, 200)))
	f.reading()
	release()
	got := c.data(2, len(data))
	if c.receive(pdu.OpSCSIResponse); !bytes.Equal(got, data) {
		t.Error("read something else than was written")
	}
	f.until("memory given back", func() bool { return f.inUse() == 0 })
	c.send(pdu.SNACK{Type: pdu.SNACKData, ITT: 2, TTT: pdu.NoTag, ExpStatSN: c.exp})
	if again := c.data(2, len(data)); !bytes.Equal(again, data) {
		t.Error("other data at the second time")
	}
}

// data receives a task's Data-In.
func (c *client) data(itt pdu.Tag, n int) (got []byte) {
	c.t.Helper()
	for len(got) < n {
		p := c.receive(pdu.OpDataIn)
		if p.ITT() != itt || int(p.BufferOffset()) != len(got) {
			c.t.Fatalf("data of %v at %d, not of %v at %d", p.ITT(), p.BufferOffset(), itt, len(got))
		}
		got = append(got, p.Data...)
	}
	return got
}

// Each Data-In PDU is had again as it was, also where the segment does not divide the burst. For
// the last one of many all of them were gone through, while the loop's other connections waited.
func TestDataInAgainOneByOne(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{ErrorRecoveryLevel: 1, MaxBurstLength: 4096}})
	f.fill(60)
	c := f.client(t, "ErrorRecoveryLevel=1", "MaxBurstLength=4096", "MaxRecvDataSegmentLength=1536")
	c.send(c.next(read10(2, 60)))
	var sent []initiator.PDU
	for n := 0; n < 60*512; n += len(sent[len(sent)-1].Data) {
		sent = append(sent, c.receive(pdu.OpDataIn))
	}
	c.receive(pdu.OpSCSIResponse)
	for _, i := range rand.Perm(len(sent)) {
		c.send(pdu.SNACK{Type: pdu.SNACKData, ITT: 2, TTT: pdu.NoTag, BegRun: uint32(i), RunLength: 1, ExpStatSN: c.exp})
		p, want := c.receive(pdu.OpDataIn), sent[i]
		if p.DataSN() != uint32(i) || p.BufferOffset() != want.BufferOffset() || p.Final() != want.Final() || !bytes.Equal(p.Data, want.Data) {
			t.Errorf("PDU %d: % x, not % x", i, []byte(p.Header), []byte(want.Header))
		}
	}
	c.send(pdu.SNACK{Type: pdu.SNACKData, ITT: 2, TTT: pdu.NoTag, BegRun: uint32(len(sent)), RunLength: 1, ExpStatSN: c.exp})
	c.receive(pdu.OpReject)
}

// Data beyond what the command takes was lost to a bad digest: it was neither asked for again nor
// done without, and the task never ended.
func TestLostDataThatNobodyWants(t *testing.T) {
	for _, wanted := range []int{512, 1024, 1536} {
		var d dataOut
		d.begin(outLimits{firstBurst: 8192, maxBurst: 8192, outstanding: 1, unsolicited: true, recover: true}, 0, 4096, 0, false)
		d.want(wanted)
		d.accept(pdu.NoTag, 0, 0, 512, false, true)
		d.accept(pdu.NoTag, 1, 512, 512, false, false)
		d.accept(pdu.NoTag, 2, 1024, 3072, true, true)
		for !d.complete() {
			r, ok := d.solicit()
			if !ok {
				t.Errorf("of %d bytes wanted some are neither there nor asked for", wanted)
				break
			}
			d.accept(r.ttt, 0, r.from, r.to-r.from, true, true)
		}
	}
}

// A connection takes over another's CID, and has gone before that one's tasks are over: the
// session stayed, with no connection.
func TestSessionOfNoConnection(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{MaxConnections: 2}})
	s := f.dial(initiator.Config{Keys: []string{"MaxConnections=2"}})
	release := f.occupy()
	if _, err := s.Start(f.context(), initiator.Read(lun0, 0, 512, 512)); err != nil {
		t.Fatal(err)
	}
	f.reading()
	nc, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Join(ctx, nc, 0); err == nil {
			t.Error("joined while the old connection's task was on a worker")
		}
	})
	connections := func(n int) func() bool {
		tn := f.server.tenancy(&Tenant{Name: "a"})
		return func() bool {
			tn.mu.Lock()
			defer tn.mu.Unlock()
			return tn.conns == n
		}
	}
	f.until("the old connection ends", func() bool { return connections(1)() && len(f.server.Sessions()[0].Connections) == 0 })
	cancel()
	wg.Wait()
	f.until("the new one ends", connections(0))
	release()
	f.watch.await(t, "end of the session", func() bool { return f.watch.closed["connection lost"] == 1 })
}

// Task management whose number says that a request is still to come waits for it, but not for one
// that may not come yet, and no more of it than there is room for. It was dropped silently.
func TestTaskManagementAheadOfItsTime(t *testing.T) {
	f := newFixture(t, options{config: func(c *Config) { c.Window = 4 }})
	c := f.client(t)
	tmf := func(itt pdu.Tag, sn pdu.Serial) pdu.TaskRequest {
		return pdu.TaskRequest{Immediate: true, Function: pdu.AbortTaskSet, ITT: itt, ReferencedTag: pdu.NoTag, CmdSN: sn}
	}
	for i := range 20 {
		c.send(tmf(pdu.Tag(100+i), c.sn+1000))
	}
	f.watch.await(t, "violations", func() bool { return f.watch.violations[OutsideWindow] == 20 })
	const most = 8
	for i := range most {
		c.send(tmf(pdu.Tag(i), c.sn+1))
	}
	c.send(tmf(most, c.sn+1))
	if p := c.receive(pdu.OpReject); p.RejectReason() != pdu.RejectImmediate || pdu.Header(p.Data).ITT() != most {
		t.Errorf("rejected: %v", p.RejectReason())
	}
	c.send(c.next(pdu.SCSICommand{ITT: 50, CDB: make([]byte, 6)}))
	c.receive(pdu.OpSCSIResponse)
	for i := range most {
		if p := c.receive(pdu.OpTaskResponse); p.ITT() != pdu.Tag(i) {
			t.Errorf("%d is answered before %d", p.ITT(), i)
		}
	}
	c.alive()
}

// A request came before its turn, and task management before it: that was taken as if it had
// come behind, and aborted the request.
func TestTaskManagementKeepsItsPlace(t *testing.T) {
	var b brake
	f := newFixture(t, options{shaper: &b})
	c := f.client(t)
	b.on.Store(true)
	first, second := c.next(read10(2, 1)), c.next(read10(3, 1))
	c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTaskSet, ITT: 9, ReferencedTag: pdu.NoTag, CmdSN: second.CmdSN}, second, first)
	c.receive(pdu.OpTaskResponse)
	f.awaitTasks(1)
	f.watch.await(t, "one abort", func() bool { return f.watch.aborted == 1 })
}

// Task management that waits for a worker was unlimited, and so was the memory that it took.
func TestTaskManagementFlood(t *testing.T) {
	f := newFixture(t, options{config: func(c *Config) { c.Window = 8 }})
	c := f.client(t)
	release := f.occupy()
	c.send(c.next(read10(2, 8)))
	f.reading()
	const n = 100
	for i := range n {
		c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: pdu.Tag(100 + i), ReferencedTag: 2, RefCmdSN: c.sn - 1, CmdSN: c.sn})
	}
	for range n - 16 {
		if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionRejected {
			t.Fatalf("%v while the task goes on", p.TaskResult())
		}
	}
	release()
	var answered []pdu.Tag
	for range 16 {
		p := c.receive(pdu.OpTaskResponse)
		if p.TaskResult() != pdu.FunctionComplete || slices.Contains(answered, p.ITT()) {
			t.Errorf("%d: %v", p.ITT(), p.TaskResult())
		}
		answered = append(answered, p.ITT())
	}
	c.alive()
}

// A task is aborted while its data are under way. They were rejected, each of them, if they came
// before the loop had got to ending the task, or if the command itself had come before its turn; and
// then the abort was not answered before it had had its turn.
func TestDataOfAbortedTasks(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t, "InitialR2T=No", "ImmediateData=No")
	abort := func(itt, of pdu.Tag, sn pdu.Serial) pdu.TaskRequest {
		return pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: itt, ReferencedTag: of, RefCmdSN: sn, CmdSN: c.sn}
	}
	data := func(itt pdu.Tag) pdu.DataOut {
		return pdu.DataOut{Final: true, ITT: itt, TTT: pdu.NoTag, Data: make([]byte, 1024)}
	}
	w := c.next(write10(2, 2))
	w.Final = false
	c.send(w, abort(9, 2, w.CmdSN), data(2))
	if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete {
		t.Errorf("%v", p.TaskResult())
	}
	c.alive()

	first, early := c.next(pdu.SCSICommand{ITT: 3, CDB: make([]byte, 6)}), c.next(write10(4, 2))
	early.Final = false
	c.send(early, abort(9, 4, early.CmdSN), data(4))
	if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete {
		t.Errorf("%v", p.TaskResult())
	}
	c.send(first)
	if p := c.receive(pdu.OpSCSIResponse); p.ITT() != 3 {
		t.Errorf("%v was not aborted", p.ITT())
	}
	c.alive()
}
