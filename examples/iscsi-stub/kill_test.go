package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/internal/programtest"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
)

const (
	killTarget  = "iqn.2026-01.com.example:disk"
	killTenants = `
data: data
tenants:
- name: blue
  namespaces: home
  volumes: [{name: disk, size: 1MiB}]
  targets: [{iqn: "` + killTarget + `", luns: {0: disk}}]
`
	killWriters = 4
	killBlocks  = 64 // of each writer
)

// writer writes its part of the disk, and remembers what each block must have: the number
// of the write, in all its words.
type writer struct {
	first  int // its first block
	blocks [killBlocks]uint64

	from, n int // what was not acknowledged when the target died
	pending uint64
	atomic  bool
}

func numbered(n int, number uint64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, number), n*512/8)
}

// run writes until the target is gone.
func (w *writer) run(ctx context.Context, t *testing.T, s *initiator.Session, number uint64) {
	for ; ; number++ {
		w.n = 1 + rand.IntN(8)
		w.from = rand.IntN(killBlocks - w.n)
		w.atomic = number%3 == 0
		if w.atomic { // all blocks must be alike: that is what is compared
			w.n = 1
		}
		w.pending = number
		r, err := s.Do(ctx, w.command())
		if refused := (*initiator.StatusError)(nil); errors.As(err, &refused) || err == nil && r.Status != initiator.Good {
			t.Errorf("a write got status %#x: %v", r.Status, err)
		}
		if err != nil {
			return
		}
		for i := range w.n {
			w.blocks[w.from+i] = number
		}
		w.pending = 0
	}
}

// command is a WRITE(16), or a COMPARE AND WRITE of what the block has (SBC-3, section 5.2).
func (w *writer) command() initiator.Command {
	lba := uint64(w.first + w.from)
	if !w.atomic {
		c := initiator.Write(initiator.LUN(0), lba, numbered(w.n, w.pending), 512)
		if w.pending%2 == 0 {
			c.CDB[1] |= 8 // FUA
		}
		return c
	}
	cdb := make([]byte, 16)
	cdb[0] = 0x89
	binary.BigEndian.PutUint64(cdb[2:], lba)
	cdb[13] = 1
	return initiator.Command{LUN: initiator.LUN(0), CDB: cdb, Out: append(numbered(1, w.blocks[w.from]), numbered(1, w.pending)...)}
}

// inspect reads the writer's part: all that was acknowledged is there, and what was not is
// there or not, block by block.
func (w *writer) inspect(ctx context.Context, t *testing.T, s *initiator.Session) {
	t.Helper()
	r, err := s.Do(ctx, initiator.Read(initiator.LUN(0), uint64(w.first), killBlocks*512, 512))
	if err != nil {
		t.Fatal(err)
	}
	for i, was := range w.blocks {
		block := r.In[i*512 : (i+1)*512]
		shows := binary.BigEndian.Uint64(block)
		mayBeNew := w.pending != 0 && shows == w.pending && i >= w.from && i < w.from+w.n
		if !bytes.Equal(block, numbered(1, shows)) || shows != was && !mayBeNew {
			t.Fatalf("block %d shows %x, want %x, in flight %x for %d blocks at %d", w.first+i, shows, was, w.pending, w.n, w.first+w.from)
		}
		w.blocks[i] = shows
	}
	w.pending = 0
}

// TestKill kills the target under an initiator's load, and looks through iSCSI at what the
// next target has. Package catalog's test of that name does so more often, closer to
// the disk.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tenants.yaml")
	if err := os.WriteFile(file, []byte(killTenants), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), programtest.Patience)
	defer cancel()
	var writers [killWriters]writer
	for i := range writers {
		writers[i].first = i * killBlocks
	}
	port := freePort(t)
	for round := range 5 {
		target := programtest.Spawn(t, false, "-config", file, "-netns", "", "-home", "-port", port)
		target.Await(t, "msg=ready")
		s, err := initiator.Dial(ctx, net.JoinHostPort("127.0.0.1", port), initiator.Config{Target: killTarget})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(ctx, initiator.LUN(0)); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range writers {
			writers[i].inspect(ctx, t, s)
			all.Go(func() { writers[i].run(ctx, t, s, uint64(round+1)<<32|uint64(i)<<24|1) })
		}
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond) // the moment is anyone's
		target.Kill()
		all.Wait()
		_ = s.Close() // the target is gone
		target.Wait(t, -1)
	}
	wrote := 0
	for i := range writers {
		for _, n := range writers[i].blocks {
			wrote += min(int(n), 1)
		}
	}
	if wrote < killBlocks {
		t.Error(fmt.Sprint("only ", wrote, " blocks have ever been written"))
	}
}

// freePort returns a port that nobody has now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
