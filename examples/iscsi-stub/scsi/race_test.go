package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// transport does a command as one does that has a loop and workers.
func transport(n *Nexus, cdb, out []byte) outcome {
	c := &Command{CDB: cdb}
	defer c.End()
	if n.Start(c) != Done {
		c.Out = out
		if !c.Run(DontWait) {
			c.Run(MayWait)
		}
	}
	o := outcome{in: make([]byte, c.InLen)}
	if c.InLen > 0 && !c.ReadIn(o.in, 0, DontWait) {
		c.ReadIn(o.in, 0, MayWait)
	}
	o.status, o.sense = c.Status, bytes.Clone(c.Sense)
	return o
}

// COMPARE AND WRITE, plain WRITE, WRITE ATOMIC and READ of the same blocks, by several nexuses: no
// increment is lost, nor given to a number that had been overwritten, and no block is seen in
// two halves.
func TestCompareAndWriteAgainstWrites(t *testing.T) {
	for _, kind := range []volume.Kind{volume.Memory, volume.File} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, func(v *volume.Config, _ *UnitConfig) {
				if v.Kind = kind; kind == volume.File {
					v.Path = filepath.Join(t.TempDir(), "v")
					if err := volume.Create(*v); err != nil {
						t.Fatal(err)
					}
				}
			})
			const rounds, counters = 60, 4
			number := func(n uint64) []byte { return bytes.Repeat(binary.BigEndian.AppendUint64(nil, n), 64) }
			read, write := unhex(t, readOne), unhex(t, "2A 00 00 00 00 00 00 00 01 00")
			swap, atomic := unhex(t, "89 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00"), unhex(t, "9C 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00")
			var all sync.WaitGroup
			var mu sync.Mutex
			taken := make(map[uint64]int) // how often an increment began at a number
			for i := range counters {
				n := w.connect(fmt.Sprint(i))
				all.Go(func() {
					for done := 0; done < rounds; {
						b := transport(n, read, nil).in
						now := binary.BigEndian.Uint64(b)
						if !bytes.Equal(b, number(now)) {
							t.Errorf("a block in pieces: % x", b[:32])
							return
						}
						switch o := transport(n, swap, append(number(now), number(now+1)...)); {
						case o.status == Good:
							mu.Lock()
							taken[now]++
							mu.Unlock()
							done++
						case len(o.sense) < 3 || o.sense[2] != byte(Miscompare):
							t.Errorf("%v, % x", o.status, o.sense)
							return
						}
					}
				})
			}
			for i, cdb := range [][]byte{write, atomic} { // each begins numbers that nobody else has
				n := w.connect(fmt.Sprint("w", i))
				all.Go(func() {
					for j := range rounds {
						if o := transport(n, cdb, number(uint64(i+1)<<40|uint64(j)<<20)); o.status != Good {
							t.Errorf("%v, % x", o.status, o.sense)
						}
					}
				})
			}
			all.Wait()
			for from, n := range taken {
				if n > 1 {
					t.Errorf("%d was incremented %d times", from, n)
				}
			}
		})
	}
}
