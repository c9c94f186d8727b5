package scsi

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

func TestModeSense(t *testing.T) {
	w := newWorld(t, nil)
	const (
		header   = "43 00 10 08  00 00 08 00  00 00 02 00 "
		recovery = "01 0A 00 00 00 00 00 00 00 00 00 00 "
		control  = "8A 0A 20 10 00 00 00 00 FF FF 00 00 "
		informed = "1C 0A 08 00 00 00 00 00 00 00 00 00 "
	)
	caching := func(wce string) string {
		return "88 12 " + wce + " 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
	}
	w.steps(t, []step{
		{name: "all", cdb: "1A 00 3F 00 FF 00", in: header + recovery + caching("04") + control + informed},
		{name: "all, and subpages", cdb: "1A 00 3F FF FF 00", in: header + recovery + caching("04") + control + informed},
		{name: "cut", cdb: "1A 00 3F 00 04 00", in: "43 00 10 08"},
		{name: "one, without a descriptor", cdb: "1A 08 08 00 FF 00", in: "17 00 10 00 " + caching("04")},
		{name: "changeable", cdb: "1A 08 48 00 FF 00", in: "17 00 10 00 " + caching("04")},
		{name: "changeable control", cdb: "1A 08 4A 00 FF 00", in: "0F 00 10 00 8A 0A 04 00 08 00 00 00 00 00 00 00"},
		{name: "default", cdb: "1A 08 88 00 FF 00", in: "17 00 10 00 " + caching("04")},
		{name: "saved", cdb: "1A 08 C8 00 FF 00", in: "17 00 10 00 " + caching("04")},
		{name: "10", cdb: "5A 00 0A 00 00 00 00 00 FF 00", in: "00 1A 00 10 00 00 00 08 00 00 08 00 00 00 02 00 " + control},
		{name: "10, long descriptor", cdb: "5A 10 0A 00 00 00 00 00 FF 00", in: "00 22 00 10 01 00 00 10 00 00 00 00 00 00 08 00 00 00 00 00 00 00 02 00 " + control},
		{name: "no such page", cdb: "1A 00 05 00 FF 00", sense: senseFor("05", "24 00", "", "CD 00 02")},
		{name: "no such subpage", cdb: "1A 00 0A 01 FF 00", sense: senseFor("05", "24 00", "", "CF 00 03")},
	})
}

// cachingPage is a parameter list of MODE SELECT(6) with the caching page.
func cachingPage(wce byte) []byte {
	b := make([]byte, 24)
	b[4], b[5], b[6] = 0x08, 0x12, wce
	return b
}

func TestWriteCacheIsWhatItSays(t *testing.T) {
	kept := &keeper{}
	w := newWorld(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = kept })
	other := w.connect("b")
	if !w.unit.volume.WriteCache() {
		t.Fatal("the volume starts without its write cache")
	}
	w.do("15 10 00 00 18 00", cachingPage(0)...).good(t, "")
	if w.unit.volume.WriteCache() {
		t.Error("WCE is 0, and writes are not durable")
	}
	w.do("1A 08 08 00 07 00").good(t, "17 00 10 00 88 12 00")
	w.do("1A 08 C8 00 07 00").good(t, "17 00 10 00 88 12 04") // saved: as it was
	// The other initiator is told, this one is not.
	w.do("00 00 00 00 00 00").good(t, "")
	w.by(other, "00 00 00 00 00 00").check(t, senseFor("06", "2A 01", "", ""))

	w.do("15 11 00 00 18 00", cachingPage(0)...).good(t, "") // and saved
	w.do("1A 08 C8 00 07 00").good(t, "17 00 10 00 88 12 00")
	again, err := NewUnit(UnitConfig{Volume: w.unit.volume, Keeper: kept})
	if err != nil || again.mode().WriteCache {
		t.Errorf("write cache %v after a restart (%v)", again.mode().WriteCache, err)
	}

	kept.fails = true
	w.do("15 11 00 00 18 00", cachingPage(4)...).check(t, senseFor("04", "44 00", "", ""))
	w.do("1A 08 08 00 07 00").good(t, "17 00 10 00 88 12 00")
}

func TestModeSelectRefuses(t *testing.T) {
	w := newWorld(t, nil)
	list := func(change func(b []byte)) []byte {
		b := cachingPage(0)
		change(b)
		return b
	}
	w.steps(t, []step{
		{name: "PF 0", cdb: "15 00 00 00 18 00", out: cachingPage(0), sense: senseFor("05", "24 00", "", "CC 00 01")},
		{name: "a bit that cannot change", cdb: "15 10 00 00 18 00", out: list(func(b []byte) { b[6] |= 0x01 }), sense: senseFor("05", "26 00", "", "88 00 06")},
		{name: "no such page", cdb: "15 10 00 00 18 00", out: list(func(b []byte) { b[4] = 0x05 }), sense: senseFor("05", "26 00", "", "8D 00 04")},
		{name: "page length", cdb: "15 10 00 00 18 00", out: list(func(b []byte) { b[5] = 0x13 }), sense: senseFor("05", "26 00", "", "8F 00 05")},
		{name: "cut", cdb: "15 10 00 00 10 00", out: cachingPage(0)[:16], sense: senseFor("05", "1A 00", "", "")},
		{name: "block length", cdb: "15 10 00 00 0C 00", out: []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0}, sense: senseFor("05", "26 00", "", "80 00 09")},
		{name: "the same blocks", cdb: "15 10 00 00 0C 00", out: []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0}},
		{name: "less sent than announced", cdb: "15 10 00 00 18 00", out: cachingPage(0)[:10], sense: senseFor("05", "0E 03", "", "")},
		{name: "nothing", cdb: "15 10 00 00 00 00"},
		{name: "10", cdb: "55 10 00 00 00 00 00 00 1C 00", out: append(make([]byte, 4), cachingPage(4)...)},
	})
}

func TestSoftwareWriteProtect(t *testing.T) {
	w := newWorld(t, nil)
	control := func(byte2, byte4 byte) []byte {
		return []byte{0, 0, 0, 0, 0x0A, 0x0A, 0x20 | byte2, 0x10, byte4, 0, 0, 0, 0xFF, 0xFF, 0, 0}
	}
	w.do("15 10 00 00 10 00", control(0, 0x08)...).good(t, "")
	w.do("2A 00 00 00 00 00 00 00 01 00", fill(1, 512)...).check(t, senseFor("07", "27 02", "", ""))
	w.do("1A 08 0A 00 04 00").good(t, "0F 00 90 00")
	// D_SENSE: the sense data is in descriptor format.
	w.do("15 10 00 00 10 00", control(0x04, 0)...).good(t, "")
	w.do("88 20 00 00 00 00 00 00 00 00 00 00 00 01 00 00").check(t, "72 05 24 00 00 00 00 08 02 06 00 00 CD 00 01 00")
	w.do("2F 02 00 00 00 00 00 00 01 00", fill(1, 512)...).check(t, "72 0E 1D 00 00 00 00 0C 00 0A 80 00 00 00 00 00 00 00 00 00")
	// A reset brings back what was saved.
	done := make(chan struct{})
	w.nexus.LogicalUnitReset([8]byte{}, func() { close(done) })
	<-done
	w.do("00 00 00 00 00 00").check(t, senseFor("06", "29 03", "", ""))
	w.do("88 20 00 00 00 00 00 00 00 00 00 00 00 01 00 00").check(t, senseFor("05", "24 00", "", "CD 00 01"))
}

func TestUnitWithoutKeeperSavesNothing(t *testing.T) {
	w := newWorld(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = nil })
	w.do("1A 08 C8 00 FF 00").check(t, senseFor("05", "39 00", "", ""))
	w.do("15 11 00 00 18 00", cachingPage(0)...).check(t, senseFor("05", "24 00", "", "C8 00 01"))
	w.do("1A 08 08 00 05 00").good(t, "17 00 10 00 08") // PS is 0
}
