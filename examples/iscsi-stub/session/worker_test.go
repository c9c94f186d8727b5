package session

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// A READ longer than a worker reads at once goes back and forth between it and the loop.
func TestWorkerReadsMuch(t *testing.T) {
	for _, keys := range [][]string{{"MaxRecvDataSegmentLength=65536"}, {"MaxRecvDataSegmentLength=5120", "MaxBurstLength=12800", "DataDigest=CRC32C"}} {
		f := newFixture(t, options{})
		const n = 2040 // not quite the MiB that is occupied
		data := f.fill(n)
		s := f.dial(initiator.Config{Keys: keys})
		for range 3 {
			release := f.occupy()
			task, err := s.Start(f.context(), initiator.Read(lun0, 0, n*512, 512))
			if err != nil {
				t.Fatal(err)
			}
			f.reading()
			release()
			result, err := task.Wait(f.context())
			if err != nil || !bytes.Equal(result.In, data) {
				t.Fatalf("%d bytes, %v", len(result.In), err)
			}
		}
	}
}

// The medium ends in the middle of what is read, met by the loop or by a worker: what is before
// that has been sent, and then there are sense data, and the session goes on.
func TestMediumErrorInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		end  int64 // bytes that are left of the file
		busy bool
	}{"loop": {300 << 10, false}, "worker": {300 << 10, true}, "worker, at once": {4096, true}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "v")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 64<<20); err != nil {
				t.Fatal(err)
			}
			f := newFixture(t, options{volume: volume.Config{Kind: volume.File, Path: path}})
			data := f.fill(1600)
			s := f.dial(initiator.Config{})
			release := func() {}
			if c.busy {
				release = f.occupy()
			}
			if err := os.Truncate(path, c.end); err != nil {
				t.Fatal(err)
			}
			task, err := s.Start(f.context(), initiator.Read(lun0, 0, len(data), 512))
			if err != nil {
				t.Fatal(err)
			}
			if c.busy {
				f.reading()
			}
			release()
			result, err := task.Wait(f.context())
			if sense := initiator.ParseSense(result.Sense); sense != (initiator.Sense{Key: 3, ASC: 0x11}) {
				t.Errorf("%v, %v", sense, err)
			}
			if int64(len(result.In)) > c.end || !bytes.Equal(result.In, data[:len(result.In)]) {
				t.Errorf("%d bytes, or others", len(result.In))
			}
			if err := s.TestUnitReady(f.context(), lun0); err != nil {
				t.Error(err)
			}
		})
	}
}

// A worker has a task when its session is ended in every way: what ends it waits for the worker
// where it says that the tasks are over.
func TestWorkerOutlivesSession(t *testing.T) {
	cfg := initiator.Config{Target: targetName, ISID: [6]byte{0x80, 7}, Initiator: "iqn.2026-01.example:worker"}
	for name, end := range map[string]func(f *fixture, s *initiator.Session, over chan<- error){
		"logout": func(f *fixture, s *initiator.Session, over chan<- error) { over <- s.Logout(f.context()) },
		"reinstate": func(f *fixture, _ *initiator.Session, over chan<- error) {
			again, err := initiator.Dial(f.context(), f.address, cfg)
			if err == nil {
				err = again.Close()
			}
			over <- err
		},
		"abort task set": func(f *fixture, s *initiator.Session, over chan<- error) {
			_, err := s.Manage(f.context(), pdu.AbortTaskSet, lun0, nil)
			over <- err
		},
		"reset of the unit by another": func(f *fixture, _ *initiator.Session, over chan<- error) {
			other, err := initiator.Dial(f.context(), f.address, initiator.Config{Target: targetName})
			if err == nil {
				_, err = other.Manage(f.context(), pdu.LogicalUnitReset, lun0, nil)
				_ = other.Close()
			}
			over <- err
		},
		"connection lost": func(f *fixture, s *initiator.Session, over chan<- error) {
			_ = s.Close()
			f.watch.await(f.t, "end", func() bool { return f.watch.closed["connection lost"] == 1 })
			over <- nil
		},
		"revoked": func(f *fixture, _ *initiator.Session, over chan<- error) {
			for _, one := range f.server.sessions() {
				if one.info.Initiator == cfg.Initiator {
					one.revoke()
				}
			}
			f.watch.await(f.t, "end", func() bool { return f.watch.closed["revoked"] == 1 })
			over <- nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			nc, err := net.Dial("tcp", f.address)
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.(*net.TCPConn).SetLinger(0) // to close is to reset
			s, err := initiator.Open(f.context(), nc, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Ready(f.context(), lun0); err != nil {
				t.Fatal(err)
			}
			release := f.occupy()
			if _, err := s.Start(f.context(), initiator.Read(lun0, 4, 1024, 512)); err != nil {
				t.Fatal(err)
			}
			f.reading()
			over := make(chan error, 1)
			go end(f, s, over)
			f.until("the task is aborted", f.aborting)
			other := f.client(t, "MaxConnections=1")
			for range 20 { // the loops turn meanwhile
				other.alive()
			}
			select {
			case err := <-over:
				t.Fatalf("over before the worker was: %v", err)
			default:
			}
			release()
			if err := <-over; err != nil {
				t.Error(err)
			}
			f.watch.await(t, "the task's end", func() bool { return f.watch.aborted == 1 })
		})
	}
}

// aborting says whether some task is being aborted.
func (f *fixture) aborting() bool {
	return slices.ContainsFunc(f.server.sessions(), func(s *session) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for t := s.tasks.first; t != nil; t = t.younger {
			if t.aborted {
				return true
			}
		}
		return false
	})
}

// The namespace goes while workers have tasks, some wait for their turn, and some for memory.
func TestDrainWithWorkers(t *testing.T) {
	f := newFixture(t, options{
		limits: Limits{DataOut: 128 << 10}, prefer: login.Preferences{FirstBurstLength: 4096},
		engine: engine.Config{Workers: 2, DrainTimeout: 1},
	})
	s := f.dial(initiator.Config{})
	release := f.occupy()
	for i := range 8 {
		if _, err := s.Start(f.context(), initiator.Read(lun0, 0, 4096, 512)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Start(f.context(), initiator.Write(lun0, uint64(i*256), make([]byte, 100<<10), 512)); err != nil {
			t.Fatal(err)
		}
	}
	f.until("work", func() bool { return f.engine.Stats().Work.Running == 2 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = f.engine.Shutdown(ctx)
	}()
	f.until("connections end", func() bool { all := f.server.Sessions(); return len(all) == 0 || len(all[0].Connections) == 0 })
	release()
	<-done
	f.settled()
}

// A peer sends pings with much data and takes no answers: it is not listened to any more, others
// are, and it has all answers when it takes them.
func TestPingsWithoutListening(t *testing.T) {
	f := newFixture(t, options{engine: engine.Config{Loops: 1}})
	c, other := f.client(t, "MaxRecvDataSegmentLength=262144"), f.client(t, "MaxConnections=1")
	const n = 150
	sent := make(chan error, 1)
	data := make([]byte, 256<<10)
	go func() {
		for i := range n {
			if err := c.Send(pdu.NOPOut{Immediate: true, ITT: pdu.Tag(i), TTT: pdu.NoTag, CmdSN: c.sn, Data: data}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 20 {
		other.alive()
	}
	for i := range n {
		if p := c.receive(pdu.OpNOPIn); p.ITT() != pdu.Tag(i) || len(p.Data) != len(data) {
			t.Fatalf("%v with %d bytes, not %d", p.ITT(), len(p.Data), i)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	c.alive()
}

// SNACKs ask for everything again and again, and nothing is taken: that costs the peer its own
// turn. What it leaves unacknowledged is limited.
func TestSNACKFlood(t *testing.T) {
	f := newFixture(t, options{engine: engine.Config{Loops: 1}, prefer: login.Preferences{ErrorRecoveryLevel: 1}})
	c, other := f.client(t, "ErrorRecoveryLevel=1"), f.client(t, "MaxConnections=1")
	for range maxKept + 100 {
		c.send(c.next(pdu.SCSICommand{ITT: 5, CDB: make([]byte, 6)}))
		c.receive(pdu.OpSCSIResponse)
	}
	c.send(c.next(read10(2, 200)))
	c.data(2, 200*512)
	last := c.receive(pdu.OpSCSIResponse).StatSN()
	const n = 200
	sent := make(chan error, 1)
	go func() {
		for range n {
			if err := c.Send(
				pdu.SNACK{Type: pdu.SNACKData, ITT: 2, TTT: pdu.NoTag, ExpStatSN: c.exp},
				pdu.SNACK{Type: pdu.SNACKStatus, ITT: pdu.NoTag, TTT: pdu.NoTag, BegRun: uint32(c.exp), ExpStatSN: c.exp},
			); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 20 {
		other.alive()
	}
	for range n {
		c.data(2, 200*512)
		for i := range maxKept {
			if p := c.receive(pdu.OpSCSIResponse); p.StatSN() != last-maxKept+1+pdu.Serial(i) {
				t.Fatalf("status %d, the %dth before %d", p.StatSN(), maxKept-i-1, last)
			}
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	c.alive()
}
