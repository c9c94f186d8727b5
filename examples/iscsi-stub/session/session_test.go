package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
)

// brake delays the commands that move data, for as long as it is on.
type brake struct{ on atomic.Bool }

func (b *brake) Done(*qos.IO, time.Time) {}

func (b *brake) Admit(*qos.IO, time.Time) time.Duration {
	if b.on.Load() {
		return time.Hour
	}
	return 0
}

// Tasks that wait are aborted: one, those of a unit, and those of other sessions with a reset.
// The answer comes when they are gone, and they get none.
func TestAborts(t *testing.T) {
	for name, function := range map[string]pdu.TaskFunction{
		"task": pdu.AbortTask, "task set": pdu.AbortTaskSet, "clear": pdu.ClearTaskSet,
		"unit": pdu.LogicalUnitReset, "target": pdu.TargetWarmReset,
	} {
		t.Run(name, func(t *testing.T) {
			var b brake
			f := newFixture(t, options{shaper: &b})
			c := f.client(t)
			b.on.Store(true)
			cmd := write10(7, 2)
			cmd.Data = make([]byte, 1024)
			c.send(c.next(cmd), c.next(read10(8, 1)))
			referenced := pdu.NoTag
			if function == pdu.AbortTask {
				referenced = 7
			}
			c.send(pdu.TaskRequest{Immediate: true, Function: function, ITT: 9, ReferencedTag: referenced, CmdSN: c.sn})
			if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete || p.ITT() != 9 {
				t.Errorf("%v of %v", p.TaskResult(), p.ITT())
			}
			if function == pdu.AbortTask {
				c.send(pdu.TaskRequest{Immediate: true, Function: function, ITT: 9, ReferencedTag: 8, CmdSN: c.sn})
				c.receive(pdu.OpTaskResponse)
			}
			f.watch.await(t, "aborts", func() bool { return f.watch.aborted == 2 })
			b.on.Store(false)
			c.ready() // a reset leaves a unit attention
			if p := c.command(write10(0x10, 0)); p.Status() != initiator.Good {
				t.Errorf("status %d", p.Status())
			}
		})
	}
}

// What can not be done is answered with why.
func TestTaskManagementRefused(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	for _, x := range []struct {
		p    pdu.TaskRequest
		want pdu.TaskResult
	}{
		{pdu.TaskRequest{Function: pdu.TaskReassign, ReferencedTag: 7}, pdu.ReassignmentNotSupported},
		{pdu.TaskRequest{Function: pdu.ClearACA}, pdu.FunctionNotSupported},
		{pdu.TaskRequest{Function: 77}, pdu.FunctionRejected},
		{pdu.TaskRequest{Function: pdu.AbortTaskSet, LUN: initiator.LUN(5)}, pdu.LUNDoesNotExist},
		{pdu.TaskRequest{Function: pdu.LogicalUnitReset, LUN: initiator.LUN(5)}, pdu.LUNDoesNotExist},
		{pdu.TaskRequest{Function: pdu.AbortTask, ReferencedTag: 7, RefCmdSN: c.sn - 1}, pdu.TaskDoesNotExist},
	} {
		x.p.ITT, x.p.Immediate, x.p.CmdSN = 3, true, c.sn
		c.send(x.p)
		if p := c.receive(pdu.OpTaskResponse); p.TaskResult() != x.want {
			t.Errorf("function %d: %v, not %v", x.p.Function, p.TaskResult(), x.want)
		}
	}
	c.alive()
}

// A cold reset ends everybody's sessions at the target, that of who asked with an answer.
func TestColdReset(t *testing.T) {
	f := newFixture(t, options{})
	a, b := f.client(t), f.client(t, "MaxConnections=1")
	a.send(pdu.TaskRequest{Immediate: true, Function: pdu.TargetColdReset, ITT: 3, CmdSN: a.sn})
	if p := a.receive(pdu.OpTaskResponse); p.TaskResult() != pdu.FunctionComplete {
		t.Error(p.TaskResult())
	}
	a.closed()
	b.closed()
	f.watch.await(t, "end", func() bool { return f.watch.closed["target cold reset"] == 2 })
}

// An ORDERED command waits for those before it, one behind it for it, and HEAD OF QUEUE for
// nobody.
func TestOrder(t *testing.T) {
	var b brake
	f := newFixture(t, options{shaper: &b})
	c := f.client(t)
	b.on.Store(true)
	c.send(c.next(read10(1, 1)))
	tur := func(itt pdu.Tag, a pdu.Attribute) pdu.SCSICommand {
		return c.next(pdu.SCSICommand{ITT: itt, Attribute: a, CDB: make([]byte, 6)})
	}
	c.send(tur(2, pdu.Ordered), tur(3, pdu.Simple), tur(4, pdu.HeadOfQueue))
	if p := c.receive(pdu.OpSCSIResponse); p.ITT() != 4 {
		t.Fatalf("%v came first", p.ITT())
	}
	c.send(pdu.TaskRequest{Immediate: true, Function: pdu.AbortTask, ITT: 9, ReferencedTag: 1, CmdSN: c.sn})
	var came []pdu.Tag
	for range 3 {
		p, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if p.Opcode() == pdu.OpSCSIResponse {
			came = append(came, p.ITT())
		}
	}
	if !slices.Equal(came, []pdu.Tag{2, 3}) {
		t.Errorf("%v came", came)
	}
}

// The same initiator port logs in again: the old session's tasks are aborted, its connection
// reset, and then the new one begins.
func TestReinstatement(t *testing.T) {
	var b brake
	f := newFixture(t, options{shaper: &b})
	cfg := initiator.Config{ISID: [6]byte{0x80, 1}, Initiator: "iqn.2026-01.example:again"}
	old := f.dial(cfg)
	b.on.Store(true)
	if _, err := old.Start(f.context(), initiator.Read(lun0, 0, 512, 512)); err != nil {
		t.Fatal(err)
	}
	f.tasks(1)
	again := f.dial(cfg)
	f.watch.await(t, "end", func() bool { return f.watch.closed["reinstated"] == 1 && f.watch.aborted == 1 })
	if err := again.TestUnitReady(f.context(), lun0); err != nil {
		t.Error(err)
	}
	if err := old.TestUnitReady(f.context(), lun0); err == nil {
		t.Error("the old session goes on")
	}
}

// A connection of a session is reinstated: its tasks are aborted, the session stays.
func TestConnectionReinstatement(t *testing.T) {
	var b brake
	f := newFixture(t, options{shaper: &b, prefer: login.Preferences{MaxConnections: 2}})
	s := f.dial(initiator.Config{Keys: []string{"MaxConnections=2"}})
	join := func(cid uint16) {
		t.Helper()
		nc, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Join(f.context(), nc, cid); err != nil {
			t.Fatal(err)
		}
	}
	join(1)
	b.on.Store(true)
	c := initiator.Read(lun0, 0, 512, 512)
	c.On, c.Connection = true, 1
	if _, err := s.Start(f.context(), c); err != nil {
		t.Fatal(err)
	}
	f.awaitTasks(1)
	join(1)
	f.watch.await(t, "abort", func() bool { return f.watch.aborted == 1 })
	b.on.Store(false)
	if _, err := s.Do(f.context(), c); err != nil {
		t.Error(err)
	}
	nc, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	var refused *initiator.LoginError
	if err := s.Join(f.context(), nc, 2); !errors.As(err, &refused) || refused.Status != pdu.TooManyConnections {
		t.Errorf("a third connection: %v", err)
	}
}

// awaitTasks waits until so many tasks are under way.
func (f *fixture) awaitTasks(n int) {
	f.t.Helper()
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		sum := 0
		for _, s := range f.server.Sessions() {
			sum += s.Tasks
		}
		if sum == n {
			return
		}
		if time.Now().After(until) {
			f.t.Fatalf("%d tasks, not %d", sum, n)
		}
	}
}

// A connection that is lost takes its session along, with the other connections.
func TestConnectionLost(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{MaxConnections: 2}})
	s := f.dial(initiator.Config{Keys: []string{"MaxConnections=2"}})
	nc, err := net.Dial("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Join(f.context(), nc, 1); err != nil {
		t.Fatal(err)
	}
	_ = s.Drop(1)
	f.watch.await(t, "end", func() bool { return f.watch.closed["connection lost"] == 1 })
}

// At error recovery level 1 what was lost to bad digests, on its way to the initiator, is had
// again.
func TestRecoveryIn(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{ErrorRecoveryLevel: 1, FirstBurstLength: 4096, MaxBurstLength: 16384}})
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 6))
	lost := 0
	s := f.dial(initiator.Config{
		Keys: []string{"ErrorRecoveryLevel=1", "DataDigest=CRC32C", "MaxRecvDataSegmentLength=2048", "InitialR2T=Yes"},
		Lose: func(p initiator.PDU) bool {
			mu.Lock()
			defer mu.Unlock()
			if len(p.Data) == 0 || r.IntN(6) > 0 {
				return false
			}
			lost++
			return true
		},
	})
	exchange(t, f, s, 0, 30)
	if lost == 0 {
		t.Error("nothing was lost")
	}
	if err := s.Logout(f.context()); err != nil {
		t.Error(err)
	}
}

// And on its way to the target: it is asked for again by a recovery R2T.
func TestRecoveryOut(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{ErrorRecoveryLevel: 1}})
	c := f.client(t, "ErrorRecoveryLevel=1", "DataDigest=CRC32C", "InitialR2T=Yes", "ImmediateData=No")
	data := make([]byte, 4*512)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	c.send(c.next(write10(2, 4)))
	r := c.receive(pdu.OpR2T)
	piece := func(i, n int, ttt pdu.Tag, sn uint32, final bool) pdu.DataOut {
		return pdu.DataOut{Final: final, ITT: 2, TTT: ttt, DataSN: sn, Offset: uint32(i * 512), Data: data[i*512 : (i+n)*512]}
	}
	b := piece(0, 1, r.TTT(), 0, false).Append(nil, c.Format)
	bad := len(b)
	b = piece(1, 1, r.TTT(), 1, false).Append(b, c.Format)
	b[bad+60] ^= 1
	b = piece(2, 2, r.TTT(), 2, true).Append(b, c.Format)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if p := c.receive(pdu.OpReject); p.RejectReason() != pdu.RejectDataDigest {
		t.Errorf("rejected: %v", p.RejectReason())
	}
	again := c.receive(pdu.OpR2T)
	if again.BufferOffset() != 512 || again.DesiredLength() != 3*512 || again.R2TSN() != 1 || again.TTT() == r.TTT() {
		t.Errorf("asked for %d bytes at %d", again.DesiredLength(), again.BufferOffset())
	}
	// The R2T itself may be lost too.
	c.send(pdu.SNACK{Type: pdu.SNACKData, ITT: 2, TTT: pdu.NoTag, BegRun: 1, RunLength: 1, ExpStatSN: c.exp})
	if p := c.receive(pdu.OpR2T); !bytes.Equal(p.Header[36:], again.Header[36:]) || p.TTT() != again.TTT() {
		t.Errorf("another R2T: % x", []byte(p.Header))
	}
	c.send(piece(1, 3, again.TTT(), 0, true))
	p := c.receive(pdu.OpSCSIResponse)
	if p.Status() != initiator.Good || p.ExpDataSN() != 2 {
		t.Errorf("status %d, %d R2Ts", p.Status(), p.ExpDataSN())
	}
	// The status as well, until it is acknowledged.
	status := pdu.SNACK{Type: pdu.SNACKStatus, ITT: pdu.NoTag, TTT: pdu.NoTag, BegRun: uint32(p.StatSN()), RunLength: 1}
	status.ExpStatSN = p.StatSN()
	c.send(status)
	if q := c.receive(pdu.OpSCSIResponse); q.StatSN() != p.StatSN() || q.ITT() != 2 {
		t.Errorf("status %d of %v", q.StatSN(), q.ITT())
	}
	status.ExpStatSN = p.StatSN() + 1
	c.send(status)
	if q := c.receive(pdu.OpReject); q.RejectReason() != pdu.RejectSNACK {
		t.Errorf("rejected: %v", q.RejectReason())
	}
	c.exp = p.StatSN() + 2
	c.send(c.next(read10(4, 4)))
	if q := c.receive(pdu.OpDataIn); !bytes.Equal(q.Data, data) {
		t.Error("read something else than was written")
	}
	c.receive(pdu.OpSCSIResponse)
}

// A peer that asks for much and reads late gets it all; what it has not taken is not held in
// memory twice.
func TestSlowReader(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t, "MaxRecvDataSegmentLength=65536")
	const n, size = 120, 255 * 512 // more than sockets hold
	for i := range n {
		c.send(c.next(read10(pdu.Tag(i), 255)))
	}
	got := map[pdu.Tag]int{}
	for done := 0; done < n; {
		p := c.receive(pdu.OpDataIn)
		if int(p.BufferOffset()) != got[p.ITT()] {
			t.Fatalf("data of %v at %d, not %d", p.ITT(), p.BufferOffset(), got[p.ITT()])
		}
		got[p.ITT()] += len(p.Data)
		if p.HasStatus() {
			done++
			if got[p.ITT()] != size {
				t.Errorf("%d bytes", got[p.ITT()])
			}
		}
	}
	c.alive()
}

// A drain asks for a logout; who goes in time is not reset.
func TestDrain(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	over := make(chan error, 1)
	go func() { over <- f.engine.Shutdown(context.Background()) }()
	p := c.receive(pdu.OpAsync)
	if _, _, seconds := p.Parameters(); p.AsyncEvent() != pdu.LogoutRequested || seconds != 5 {
		t.Errorf("event %d, %d s", p.AsyncEvent(), seconds)
	}
	c.send(pdu.LogoutRequest{Immediate: true, Reason: pdu.CloseSession, ITT: 4, CmdSN: c.sn})
	if p := c.receive(pdu.OpLogoutResponse); p.LogoutResult() != pdu.LoggedOut {
		t.Errorf("logout: %v", p.LogoutResult())
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the logout: %v", err)
	}
	_ = c.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// Who is asked to log out and does not is seen off in LogoutTime: the drain once waited for
// it to the end.
func TestDrainIgnored(t *testing.T) {
	f := newFixture(t, options{
		config: func(c *Config) { c.LogoutTime = time.Millisecond },
		engine: engine.Config{DrainTimeout: time.Hour},
	})
	c := f.client(t)
	over := make(chan error, 1)
	go func() { over <- f.engine.Shutdown(context.Background()) }()
	c.receive(pdu.OpAsync)
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the request: %v", err)
	}
	_ = c.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A session that is revoked ends with a message, and all its tasks before that.
func TestRevoked(t *testing.T) {
	d := new(changing)
	f := newFixture(t, options{config: d.begin})
	c := f.client(t, noImmediate...)
	c.send(c.next(write10(7, 1)))
	c.receive(pdu.OpR2T)
	d.Store(&Tenant{Name: "a"})
	if n := f.server.Revoke(); n != 1 {
		t.Errorf("%d sessions end, not one", n)
	}
	if p := c.receive(pdu.OpAsync); p.AsyncEvent() != pdu.SessionDropped {
		t.Errorf("event %d", p.AsyncEvent())
	}
	if _, err := c.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the message: %v", err)
	}
	_ = c.Close()
	f.watch.await(t, "the end of the session", func() bool { return len(f.server.Sessions()) == 0 })
}

// The namespace goes away in the middle of everything: nothing is left, as every fixture
// checks, of tasks that wait, that a worker has, or that are half received.
func TestVanish(t *testing.T) {
	for range 5 {
		f := newFixture(t, options{engine: engine.Config{DrainTimeout: time.Millisecond}})
		s := f.dial(initiator.Config{Keys: []string{"InitialR2T=Yes", "ImmediateData=No"}})
		ctx, stop := context.WithCancel(f.context())
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for ctx.Err() == nil && s.Err() == nil {
					_, err := s.Do(ctx, initiator.Write(lun0, uint64(i)*1000, make([]byte, 300<<10), 512))
					if err == nil {
						_, err = s.Do(ctx, initiator.Read(lun0, uint64(i)*1000, 300<<10, 512))
					}
					if err != nil {
						return
					}
				}
			})
		}
		f.watch.await(t, "some writes", func() bool { return f.watch.ended[0] > 10 })
		_ = f.engine.Shutdown(ctx)
		stop()
		wg.Wait()
		f.settled()
	}
}

// Logouts that can not be.
func TestLogoutRefused(t *testing.T) {
	f := newFixture(t, options{})
	c := f.client(t)
	c.send(pdu.LogoutRequest{Immediate: true, Reason: pdu.CloseConnection, CID: 9, ITT: 4, CmdSN: c.sn})
	if p := c.receive(pdu.OpLogoutResponse); p.LogoutResult() != pdu.CIDNotFound {
		t.Errorf("logout: %v", p.LogoutResult())
	}
	c.send(pdu.LogoutRequest{Immediate: true, Reason: pdu.RecoverConnection, ITT: 4, CmdSN: c.sn})
	if p := c.receive(pdu.OpLogoutResponse); p.LogoutResult() != pdu.RecoveryNotSupported {
		t.Errorf("logout: %v", p.LogoutResult())
	}
	c.alive()
}

// Discovery shows the tenant's targets, and does nothing else.
func TestDiscovery(t *testing.T) {
	f := newFixture(t, options{})
	s, err := initiator.Dial(f.context(), f.address, initiator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	targets, err := s.SendTargets(f.context(), "All")
	if err != nil || len(targets) != 1 || targets[0].Name != targetName || targets[0].Addresses[0] != f.address+",1" {
		t.Errorf("%+v, %v", targets, err)
	}
	if err := s.TestUnitReady(f.context(), lun0); err == nil {
		t.Error("a command in a discovery session")
	}
}
