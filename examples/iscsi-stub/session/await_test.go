package session

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
)

// A SANITIZE of hours had a worker for as long, and few of them had every worker there is; its
// connection was ended as stuck.
func TestSanitizeKeepsNoWorker(t *testing.T) {
	b := tick{new(brake)}
	f := newFixture(t, options{shaper: b, engine: engine.Config{Workers: 1}})
	one, two := f.dial(initiator.Config{Initiator: "iqn.2026-01.example:one"}), f.dial(initiator.Config{Initiator: "iqn.2026-01.example:two"})
	b.on.Store(true)
	blockErase := initiator.Command{CDB: []byte{0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0}}
	erasing, err := one.Start(f.context(), blockErase)
	if err != nil {
		t.Fatal(err)
	}
	for ready := true; ready; { // until it has begun
		ready = two.TestUnitReady(f.context(), lun0) == nil
	}
	if _, err := two.Do(f.context(), reserveOut(0, 0, 0, 1)); err != nil {
		t.Errorf("REGISTER meanwhile: %v", err)
	}
	if r, err := one.Manage(f.context(), pdu.AbortTask, lun0, erasing); err != nil || r != pdu.FunctionComplete {
		t.Errorf("ABORT TASK: %v, %v", r, err)
	}
	b.on.Store(false)
	for ctx := f.context(); two.TestUnitReady(ctx, lun0) != nil; { // it goes on (SBC-3, 4.11.2)
		if ctx.Err() != nil {
			t.Fatal("it does not end")
		}
	}
	if _, err := one.Do(f.context(), blockErase); err != nil {
		t.Error(err)
	}
}

// An EXTENDED COPY that quality of service slowed kept a worker; aborted, it copies no more when
// that is answered.
func TestCopyKeepsNoWorker(t *testing.T) {
	b := tick{new(brake)}
	f := newFixture(t, options{shaper: b, engine: engine.Config{Workers: 1}})
	one, two := f.dial(initiator.Config{Initiator: "iqn.2026-01.example:one"}), f.dial(initiator.Config{Initiator: "iqn.2026-01.example:two"})
	page, err := one.VPD(f.context(), lun0, 0x83)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]byte, 16+32+28)
	list[3], list[11] = 32, 28
	unit, segment := list[16:], list[48:]
	unit[0], unit[4], unit[5], unit[7] = 0xE4, 1, 3, 8
	copy(unit[8:], page[bytes.Index(page, []byte{1, 3, 0, 8})+4:][:8])
	segment[0], segment[3], segment[11], segment[27] = 0x02, 0x18, 1, 8 // a block from 0 to 8
	extendedCopy := initiator.Command{CDB: []byte{0x83, 13: byte(len(list)), 15: 0}, Out: list}
	if _, err := one.Do(f.context(), extendedCopy); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Do(f.context(), initiator.Write(lun0, 0, bytes.Repeat([]byte{7}, 512), 512)); err != nil {
		t.Fatal(err)
	}
	b.on.Store(true)
	copying, err := one.Start(f.context(), extendedCopy)
	if err != nil {
		t.Fatal(err)
	}
	f.tasks(1)
	if _, err := two.Do(f.context(), reserveOut(0, 0, 0, 1)); err != nil {
		t.Errorf("REGISTER meanwhile: %v", err)
	}
	if r, err := one.Manage(f.context(), pdu.AbortTask, lun0, copying); err != nil || r != pdu.FunctionComplete {
		t.Errorf("ABORT TASK: %v, %v", r, err)
	}
	b.on.Store(false)
	if r, err := one.Do(f.context(), initiator.Read(lun0, 8, 512, 512)); err != nil || r.In[0] != 0 {
		t.Errorf("what was not copied: %v, %v", r.In[0], err)
	}
	b.on.Store(true)
	if _, err := one.Start(f.context(), extendedCopy); err != nil {
		t.Fatal(err)
	}
	f.tasks(1)
	_ = one.Close() // as every fixture checks, nothing is left
}

// tick is a brake that is soon asked again.
type tick struct{ *brake }

func (b tick) Admit(io *qos.IO, now time.Time) time.Duration {
	return min(b.brake.Admit(io, now), time.Millisecond)
}

// slowKeeper is one that takes its time once.
type slowKeeper struct{ saving, goOn chan struct{} }

func (k slowKeeper) Load(string) ([]byte, error) { return nil, nil }

func (k slowKeeper) Save(string, []byte) error {
	k.saving <- struct{}{}
	<-k.goOn
	return nil
}

// PREEMPT AND ABORT had a worker until others' tasks were over, which had not yet had one.
func TestPreemptAndAbortKeepsNoWorker(t *testing.T) {
	k := slowKeeper{make(chan struct{}), make(chan struct{})}
	f := newFixture(t, options{keeper: k, engine: engine.Config{Workers: 1}})
	one, two := f.dial(initiator.Config{Initiator: "iqn.2026-01.example:one"}), f.dial(initiator.Config{Initiator: "iqn.2026-01.example:two"})
	if _, err := two.Do(f.context(), reserveOut(0, 0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	register := reserveOut(0, 0, 0, 1)
	register.Out[20] = 1 // APTPL: it saves from now on
	registered, err := one.Start(f.context(), register)
	if err != nil {
		t.Fatal(err)
	}
	<-k.saving
	k.goOn <- struct{}{}
	if _, err := registered.Wait(f.context()); err != nil {
		t.Fatal(err)
	}
	preempting, err := one.Start(f.context(), reserveOut(5, 1, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	<-k.saving
	if _, err := two.Start(f.context(), reserveOut(0, 0, 2, 3)); err != nil { // in line for the worker
		t.Fatal(err)
	}
	f.tasks(2)
	k.goOn <- struct{}{}
	if _, err := preempting.Wait(f.context()); err != nil {
		t.Error(err)
	}
	f.tasks(0) // it was aborted, or came too late
}

// reserveOut is a PERSISTENT RESERVE OUT.
func reserveOut(action, kind byte, key, newKey uint64) initiator.Command {
	list := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, key), newKey)
	return initiator.Command{CDB: []byte{0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0}, Out: append(list, make([]byte, 8)...)}
}

// tasks waits until so many are under way.
func (f *fixture) tasks(want int) {
	f.t.Helper()
	for ctx := f.context(); ; {
		n := 0
		for _, s := range f.server.Sessions() {
			n += s.Tasks
		}
		if n == want {
			return
		}
		if ctx.Err() != nil {
			f.t.Fatalf("%d tasks, want %d", n, want)
		}
	}
}
