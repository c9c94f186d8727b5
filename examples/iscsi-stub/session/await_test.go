package session

import (
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
