package scsi

import "testing"

func TestUnitReady(t *testing.T) {
	w := newWorld(t, nil)
	w.do("00 00 00 00 00 00").good(t, "")
	w.do("00 00 00 00 00 04").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CA 00 05") // NACA
	w.do("00 00 00 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C0 00 05")    // too short
	w.do("FF 00 00 00 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
	w.do("").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
}
