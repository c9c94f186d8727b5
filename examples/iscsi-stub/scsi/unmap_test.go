package scsi

import (
	"encoding/binary"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// Many descriptors that are small enough one by one kept a loop from everybody else's commands.
func TestUnmapOfMuchLeavesTheLoop(t *testing.T) {
	w := newWorld(t, func(c *volume.Config, _ *UnitConfig) { c.Blocks = 1 << 20 })
	for _, test := range []struct {
		descriptors int
		inline      bool
	}{{1, true}, {2, false}, {256, false}} {
		list := binary.BigEndian.AppendUint16(nil, uint16(6+16*test.descriptors))
		list = append(binary.BigEndian.AppendUint16(list, uint16(16*test.descriptors)), 0, 0, 0, 0)
		for i := range test.descriptors {
			list = binary.BigEndian.AppendUint64(list, uint64(i)<<11)
			list = append(binary.BigEndian.AppendUint32(list, 1<<11), 0, 0, 0, 0)
		}
		c := &Command{CDB: []byte{0x42, 0, 0, 0, 0, 0, 0, byte(len(list) >> 8), byte(len(list)), 0}}
		if next := w.nexus.Start(c); next != NeedData {
			t.Fatal(next, c.Status)
		}
		c.Out = list
		if inline := c.Run(DontWait); inline != test.inline {
			t.Errorf("%d MiB are unmapped at once: %v", test.descriptors, inline)
		}
		if !c.Run(MayWait) || c.Status != Good {
			t.Errorf("%d MiB: %v % x", test.descriptors, c.Status, c.Sense)
		}
		c.End()
	}
}
