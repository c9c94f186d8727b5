package session

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// The set is held against a list and the rules of SAM-5, 8.6, word by word.
func TestTaskSet(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		var s taskSet
		var list []*task
		started := map[*task]bool{}
		start := func() {
			for _, o := range list {
				o.enabled = o.enabled || s.enabled(o)
			}
		}
		for range 400 {
			if r.IntN(2) == 0 && len(list) < 60 {
				o := &task{itt: pdu.Tag(r.Uint32())}
				o.cmd.Attribute = scsi.TaskAttribute([]int{0, 1, 1, 1, 1, 2, 3}[r.IntN(7)])
				o.cmd.LUN[1] = byte(r.IntN(2))
				list = append(list, o)
				o.enabled = s.add(o)
			} else if len(list) > 0 {
				i := r.IntN(len(list))
				o := list[i]
				if !o.enabled {
					continue // only what has started ends, or is aborted
				}
				list = slices.Delete(list, i, i+1)
				delete(started, o)
				if s.remove(o) {
					start()
				}
			}
			for i, o := range list {
				if s.find(uint32(o.itt)) != o {
					t.Fatalf("seed %d: tag %x is not found", seed, o.itt)
				}
				if o.enabled && !started[o] {
					started[o] = true
					mayStart(t, list, i)
				}
			}
			if s.n != len(list) {
				t.Fatalf("seed %d: %d, not %d", seed, s.n, len(list))
			}
			if len(list) > 0 && len(started) == 0 {
				t.Fatalf("seed %d: nobody may start", seed)
			}
		}
	}
}

func mayStart(t *testing.T, list []*task, i int) {
	t.Helper()
	o := list[i]
	for j, other := range list {
		if j == i || other.cmd.LUN != o.cmd.LUN || o.cmd.Attribute == scsi.HeadOfQueue {
			continue
		}
		switch {
		case other.cmd.Attribute == scsi.HeadOfQueue:
			t.Fatal("started before a HEAD OF QUEUE task has ended")
		case j < i && other.cmd.Attribute == scsi.Ordered:
			t.Fatal("started before an older ORDERED task has ended")
		case j < i && o.cmd.Attribute == scsi.Ordered:
			t.Fatal("an ORDERED task started before an older one has ended")
		}
	}
}
