package scsi

import "testing"

// A command is under way at its unit from Start to End, or to Settle, or to being used again.
func TestDepth(t *testing.T) {
	w := newWorld(t, nil)
	var one, other Command
	for _, c := range []*Command{&one, &other} {
		c.CDB = make([]byte, 6)
		w.nexus.Start(c)
	}
	w.nexus.Start(&one)
	if n := w.unit.Depth(); n != 2 {
		t.Errorf("%d commands are under way, not 2", n)
	}
	one.Settle()
	one.End()
	other.End()
	if n := w.unit.Depth(); n != 0 {
		t.Errorf("%d commands are under way, not 0", n)
	}
}

func TestUnitReady(t *testing.T) {
	w := newWorld(t, nil)
	w.do("00 00 00 00 00 00").good(t, "")
	w.do("00 00 00 00 00 04").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CA 00 05") // NACA
	w.do("00 00 00 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C0 00 05")    // too short
	w.do("FF 00 00 00 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
	w.do("").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
}
