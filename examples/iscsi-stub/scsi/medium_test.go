package scsi

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

func removable(c *volume.Config, _ *UnitConfig) { c.Profile.Removable = true }

const (
	load, eject    = "1B 00 00 00 03 00", "1B 00 00 00 02 00"
	prevent, allow = "1E 00 00 00 01 00", "1E 00 00 00 00 00"

	noMedium  = "70 00 02 00 00 00 00 0A 00 00 00 00 3A 00 00 00 00 00"
	prevented = "70 00 05 00 00 00 00 0A 00 00 00 00 53 02 00 00 00 00"
)

func TestEject(t *testing.T) {
	w, b := twoInitiators(t, removable)
	w.do(eject).good(t, "")
	w.do(eject).good(t, "")
	for _, cdb := range []string{
		"00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "25 00 00 00 00 00 00 00 00 00",
		"9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", "35 00 00 00 00 00 00 00 00 00",
		"42 00 00 00 00 00 00 00 18 00", "9E 12 00 00 00 00 00 00 00 00 00 00 00 20 00 00",
	} {
		w.do(cdb).check(t, noMedium)
	}
	w.do(load).good(t, "")
	told(t, w, w.nexus, 0)
	told(t, w, b, MediumMayHaveChanged)
	told(t, w, b, 0)
	for power := range 15 {
		w.do("1B 01 00 00 "+string("123456789ABCDEF"[power])+"2 00").good(t, "")
	}
	for _, stopped := range []string{"1B 00 00 00 00 00", "1B 01 00 00 04 00"} {
		w.do(stopped).good(t, "")
	}
	told(t, w, w.nexus, 0)
}

func TestPreventRemoval(t *testing.T) {
	for name, end := range map[string]func(w *world, b *Nexus){
		"allowed":    func(w *world, b *Nexus) { w.by(b, allow).good(t, "") },
		"nexus loss": func(w *world, b *Nexus) { b.Close() },
		"reset":      func(w *world, b *Nexus) { b.LogicalUnitReset([8]byte{}, func() {}); w.by(w.nexus, "00 00 00 00 00 00") },
		"warm reset": func(w *world, b *Nexus) { b.ResetTarget(func() {}); w.by(w.nexus, "00 00 00 00 00 00") },
	} {
		w, b := twoInitiators(t, removable)
		w.by(b, prevent).good(t, "")
		w.do(eject).check(t, prevented)
		w.do(allow).good(t, "") // one's own is not another's
		w.by(b, eject).check(t, prevented)
		end(w, b)
		if o := w.do(eject); o.status != Good {
			t.Error(name, o.status)
		}
		w.do(prevent).good(t, "")
		w.do(load).check(t, prevented)
		w.do(allow).good(t, "")
		w.do(load).good(t, "")
	}
	w := newWorld(t, nil)
	w.do(eject).check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C9 00 04") // not removable
	w.do("1E 00 00 00 02 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C9 00 04")
}

func TestPortGroups(t *testing.T) {
	w := newWorld(t, nil)
	w.do("A3 0A 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 0C 00 01 00 01 00 00 00 01 00 00 00 01")
	w.do("A3 2A 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 10 10 00 00 00 00 01 00 01 00 00 00 01 00 00 00 01")
	w.do("A3 4A 00 00 00 00 00 00 00 FF 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CF 00 01")
	w.do("A4 0A 00 00 00 00 00 00 00 FF 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
}
