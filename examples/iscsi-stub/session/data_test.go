package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
)

// What is written is read back, in all ways in which data may travel. The initiator checks every
// number, offset and length on its way.
func TestData(t *testing.T) {
	for _, r2t := range []bool{false, true} {
		for _, noImmediate := range []bool{false, true} {
			for _, digest := range []string{"None", "CRC32C"} {
				for _, level := range []uint8{0, 1} {
					t.Run(fmt.Sprintf("InitialR2T=%v ImmediateData=%v %s %d", r2t, !noImmediate, digest, level), func(t *testing.T) {
						f := newFixture(t, options{
							prefer: login.Preferences{
								RequireR2T: r2t, NoImmediateData: noImmediate, ErrorRecoveryLevel: level,
								FirstBurstLength: 8192, MaxBurstLength: 16384, MaxRecvDataSegmentLength: 4096, MaxOutstandingR2T: 3,
							},
						})
						s := f.dial(initiator.Config{Keys: []string{
							"HeaderDigest=" + digest, "DataDigest=" + digest, fmt.Sprintf("ErrorRecoveryLevel=%d", level),
							"InitialR2T=No", "ImmediateData=Yes", "MaxRecvDataSegmentLength=2048", "MaxOutstandingR2T=3",
							"MaxBurstLength=16384", "FirstBurstLength=8192",
						}})
						exchange(t, f, s, 0, 40)
					})
				}
			}
		}
	}
}

// exchange writes and reads pieces of any size, several at a time, each goroutine in a
// part of the volume of its own.
func exchange(t *testing.T, f *fixture, s *initiator.Session, cids int, rounds int) {
	t.Helper()
	ctx := f.context()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			part := uint64(i) * 4096
			for range rounds {
				blocks := 1 + r.IntN(1<<r.IntN(8))
				lba := part + r.Uint64N(4096-uint64(blocks))
				data := make([]byte, blocks*512)
				for j := range data {
					data[j] = byte(r.Uint32())
				}
				w, rd := initiator.Write(lun0, lba, data, 512), initiator.Read(lun0, lba, len(data), 512)
				if cids > 0 {
					w.On, w.Connection = true, uint16(r.IntN(cids))
					rd.On, rd.Connection = true, uint16(r.IntN(cids))
				}
				if _, err := s.Do(ctx, w); err != nil {
					t.Errorf("write of %d bytes: %v", len(data), err)
					return
				}
				got, err := s.Do(ctx, rd)
				if err != nil || !bytes.Equal(got.In, data) {
					t.Errorf("read of %d bytes: %v, or not what was written", len(data), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Large transfers, with the sizes that are the default, through blocks that are received in
// place.
func TestLargeData(t *testing.T) {
	f := newFixture(t, options{})
	s := f.dial(initiator.Config{Keys: []string{"MaxRecvDataSegmentLength=262144", "InitialR2T=No", "MaxBurstLength=1048576", "FirstBurstLength=262144"}})
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	if _, err := s.Do(f.context(), initiator.Write(lun0, 8, data, 512)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Do(f.context(), initiator.Read(lun0, 8, len(data), 512))
	if err != nil || !bytes.Equal(got.In, data) {
		t.Errorf("read of %d bytes: %v, or not what was written", len(data), err)
	}
	if err := s.Logout(f.context()); err != nil {
		t.Error(err)
	}
}

// A session of three connections, which live on two loops: commands come out of order, and
// are delivered in order.
func TestConnections(t *testing.T) {
	f := newFixture(t, options{prefer: login.Preferences{MaxConnections: 3}})
	s := f.dial(initiator.Config{Keys: []string{"MaxConnections=3", "InitialR2T=No"}})
	for cid := uint16(1); cid < 3; cid++ {
		nc, err := net.Dial("tcp", f.address)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Join(f.context(), nc, cid); err != nil {
			t.Fatal(err)
		}
	}
	if st := f.server.Sessions(); len(st) != 1 || len(st[0].Connections) != 3 {
		t.Fatalf("sessions: %+v", st)
	}
	exchange(t, f, s, 3, 60)
	if _, err := s.LogoutConnection(f.context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.TestUnitReady(f.context(), lun0); err != nil {
		t.Errorf("after a connection was logged out: %v", err)
	}
	if err := s.Logout(f.context()); err != nil {
		t.Error(err)
	}
	f.watch.await(t, "logout", func() bool { return f.watch.closed["logout"] == 1 })
}
