package scsi

import (
	"bytes"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// profiles is the kinds of units that commands are thrown at.
var profiles = []func(*volume.Config, *UnitConfig){
	nil,
	func(v *volume.Config, _ *UnitConfig) { v.Profile = volume.Profile{} },
	func(v *volume.Config, _ *UnitConfig) { v.Profile = volume.Profile{ReadOnly: true, Thin: true} },
	func(v *volume.Config, u *UnitConfig) {
		v.Profile = volume.Profile{Removable: true, Thin: true}
		u.Keeper = nil
	},
	func(v *volume.Config, _ *UnitConfig) { v.Kind = volume.Null },
	func(v *volume.Config, _ *UnitConfig) { v.BlockSize = 4096; v.Blocks = 300 },
}

// FuzzCommand sends any CDB with any data-out, at any profile of unit, inline first and
// then as on a worker. Whatever it is, the command ends with a status, within its limits,
// and does not panic; a read-only volume stays as it is.
func FuzzCommand(f *testing.F) {
	for op := range opcodes {
		for _, r := range opcodes[op].rows {
			for profile := range profiles {
				cdb := bytes.Clone(r.mask)
				f.Add(byte(profile), byte(0), cdb, make([]byte, 1024))
				for i := 2; i < len(cdb); i++ {
					cdb[i] = 0
				}
				cdb[len(cdb)-2] = 1
				f.Add(byte(profile), byte(0), bytes.Clone(cdb), []byte{0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
			}
		}
	}
	worlds := make([]*world, len(profiles))
	for i, profile := range profiles {
		worlds[i] = newWorld(f, profile)
	}
	f.Fuzz(func(t *testing.T, profile, lun byte, cdb, out []byte) {
		w := worlds[int(profile)%len(worlds)]
		v := w.unit.volume
		readOnly := v.Profile().ReadOnly
		c := &Command{LUN: [8]byte{1: lun & 1}, CDB: cdb, Expected: len(out)}
		next := w.nexus.Start(c)
		if next != Done {
			if next == NeedData && c.OutLen == 0 || next == Ready && c.OutLen != 0 {
				t.Fatalf("next %v with %d bytes of data-out", next, c.OutLen)
			}
			if c.OutLen < 0 || c.OutLen > maxTransfer {
				t.Fatalf("%d bytes of data-out", c.OutLen)
			}
			c.Out = out[:min(len(out), c.OutLen)]
			if !c.Run(DontWait) && !c.Run(MayWait) {
				t.Fatal("the command would not run where it may wait")
			}
		}
		if c.InLen < 0 || c.InLen > maxTransfer {
			t.Fatalf("%d bytes of data-in", c.InLen)
		}
		p := make([]byte, min(c.InLen, 1<<20))
		if len(p) > 0 {
			if !c.ReadIn(p[:len(p)/3], 0, MayWait) || !c.ReadIn(p[len(p)/3:], len(p)/3, MayWait) {
				t.Fatalf("data-in: % X", c.Sense)
			}
		}
		if (c.Status == CheckCondition) != (len(c.Sense) > 0) {
			t.Fatalf("status %v with sense data % X", c.Status, c.Sense)
		}
		if readOnly && c.Writes() && c.Status == Good {
			t.Fatalf("% X wrote to a read-only volume", cdb)
		}
		c.End()
		if readOnly {
			b := make([]byte, int(v.Blocks())*v.BlockSize())
			if err := v.ReadAt(b, 0, MayWait); err != nil || !isZero(b) {
				t.Fatalf("% X changed a read-only volume (%v)", cdb, err)
			}
		}
	})
}
