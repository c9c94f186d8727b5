package scsi

import (
	"errors"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

func TestInquiry(t *testing.T) {
	w := newWorld(t, nil)
	id := "4E 53 52 45 41 43 54 52  49 53 43 53 49 20 53 54 55 42 20 20 20 20 20 20  31 20 20 20"
	o := w.do("12 00 00 00 24 00")
	if o.status != Good || len(o.in) != 36 {
		t.Fatalf("%v % X", o.status, o.in)
	}
	o.in[5] = 0 // TPGS and 3PC are another's business
	o.good(t, "00 00 06 12 5B 00 00 02"+id)
	w.steps(t, []step{
		{name: "pages", cdb: "12 01 00 00 02 00", in: "00 00"},
		{name: "serial number", cdb: "12 01 80 00 FF 00", in: "00 80 00 20 30 31 30 32 30 33 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30 30"},
		{name: "extended", cdb: "12 01 86 00 08 00", in: "00 86 00 3C 00 07 01 01"},
		// 255 blocks to compare and write, granularity 8, 8 MiB at most, 1 MiB optimal; 1 Mi blocks
		// to unmap in 256 ranges, aligned by 8; 16 MiB of WRITE SAME; 1 MiB atomic.
		{name: "block limits", cdb: "12 01 B0 00 FF 00", in: `00 B0 00 3C 00 FF 00 08  00 00 40 00  00 00 08 00  00 00 00 00
			00 10 00 00  00 00 01 00  00 00 00 08  80 00 00 00  00 00 00 00 00 00 80 00  00 00 08 00
			00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00`},
		{name: "characteristics", cdb: "12 01 B1 00 06 00", in: "00 B1 00 3C 00 01"},
		{name: "provisioning", cdb: "12 01 B2 00 FF 00", in: "00 B2 00 04 00 E4 02 00"},
		{name: "no such page", cdb: "12 01 B7 00 FF 00", sense: senseFor("05", "24 00", "", "CF 00 02")},
		{name: "a page without EVPD", cdb: "12 00 80 00 FF 00", sense: senseFor("05", "24 00", "", "CF 00 02")},
		{name: "nothing", cdb: "12 00 00 00 00 00"},
	})
	// Every page that page 00h lists is there.
	for _, page := range w.do("12 01 00 00 FF 00").in[4:] {
		o := run(w.nexus, [8]byte{}, []byte{0x12, 1, page, 0, 0xFF, 0}, nil)
		if o.status != Good || o.in[1] != page || len(o.in) != 4+int(o.in[3]) {
			t.Errorf("page %02Xh: %v % X", page, o.status, o.in)
		}
	}
}

func TestRemovableAndThickUnits(t *testing.T) {
	w := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Profile = volume.Profile{Removable: true} })
	w.do("12 00 00 00 02 00").good(t, "00 80")
	w.do("12 01 B2 00 FF 00").good(t, "00 B2 00 04 00 00 00 00")
	w.do("9E 10 00 00 00 00 00 00 00 00 00 00 00 10 00 00").good(t, "00 00 00 00 00 00 07 FF 00 00 02 00 00 03 00 00")
}

func TestReadCapacity(t *testing.T) {
	w := newWorld(t, nil)
	w.steps(t, []step{
		{name: "10", cdb: "25 00 00 00 00 00 00 00 00 00", in: "00 00 07 FF 00 00 02 00"},
		{name: "16", cdb: "9E 10 00 00 00 00 00 00 00 00 00 00 00 FF 00 00", in: "00 00 00 00 00 00 07 FF 00 00 02 00 00 03 C0 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"},
		{name: "16, cut", cdb: "9E 10 00 00 00 00 00 00 00 00 00 00 00 0A 00 00", in: "00 00 00 00 00 00 07 FF 00 00"},
		{name: "16, of an LBA", cdb: "9E 10 00 00 00 00 00 00 00 05 00 00 00 FF 00 00", sense: senseFor("05", "24 00", "", "CA 00 09")},
		{name: "no such service action", cdb: "9E 1E 00 00 00 00 00 00 00 00 00 00 00 FF 00 00", sense: senseFor("05", "24 00", "", "CC 00 01")},
	})
	large := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Kind, v.Blocks = volume.Null, 1<<33 })
	large.do("25 00 00 00 00 00 00 00 00 00").good(t, "FF FF FF FF 00 00 02 00")
}

func TestNoUnit(t *testing.T) {
	w := newWorld(t, nil)
	none := func(cdb string) outcome { return run(w.nexus, [8]byte{1: 7}, unhex(t, cdb), nil) }
	none("12 00 00 00 05 00").good(t, "7F 00 06 12 5B")
	none("12 01 00 00 FF 00").check(t, senseFor("05", "24 00", "", "CF 00 02"))
	none("00 00 00 00 00 00").check(t, senseFor("05", "25 00", "", ""))
	none("FF 00 00 00 00 00").check(t, senseFor("05", "25 00", "", ""))
	none("03 00 00 00 FF 00").good(t, senseFor("05", "25 00", "", ""))
	none("A0 00 00 00 00 00 00 00 00 10 00 00").good(t, "00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00")
	for _, lun := range [][8]byte{{0x80}, {0xC1}, {0, 0, 0, 1}, {0x40, 1}, {1, 0}} {
		run(w.nexus, lun, unhex(t, "00 00 00 00 00 00"), nil).check(t, senseFor("05", "25 00", "", ""))
	}
	run(w.nexus, [8]byte{0x40}, unhex(t, "00 00 00 00 00 00"), nil).good(t, "") // flat addressing
}

func TestReportLUNs(t *testing.T) {
	w := newWorld(t, nil)
	luns := "A0 00 00 00 00 00 00 00 00 FF 00 00"
	w.do(luns).good(t, "00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00")
	for _, lun := range []uint16{3, 300} {
		if err := w.device.Add(lun, newWorld(t, nil).unit); err != nil {
			t.Fatal(err)
		}
	}
	if !errors.Is(w.device.Add(3, w.unit), ErrLUNTaken) || !errors.Is(w.device.Add(1<<14, w.unit), ErrLUNRange) {
		t.Error("a LUN was given twice, or is too large")
	}
	// Who was there is told, and then looks.
	w.do("00 00 00 00 00 00").check(t, senseFor("06", "3F 0E", "", ""))
	w.do(luns).good(t, "00 00 00 18 00 00 00 00 00 00 00 00 00 00 00 00 00 03 00 00 00 00 00 00 41 2C 00 00 00 00 00 00")
	w.do("A0 00 01 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 00 00 00 00 00")
	w.do("A0 00 12 00 00 00 00 00 00 FF 00 00").check(t, senseFor("05", "24 00", "", "CF 00 02"))
	w.do("A0 00 00 00 00 00 00 00 00 0F 00 00").check(t, senseFor("05", "24 00", "", "C0 00 06"))
	w.device.Remove(300)
	if run(w.nexus, [8]byte{0x41, 0x2C}, make([]byte, 6), nil).status != CheckCondition {
		t.Error("a unit that was removed answers")
	}
	// REPORT LUNS tells as much as the unit attention.
	w.do(luns)
	w.do("00 00 00 00 00 00").good(t, "")
}

func TestRequestSense(t *testing.T) {
	w := newWorld(t, nil)
	w.do("03 00 00 00 FF 00").good(t, senseFor("00", "00 00", "", ""))
	w.do("03 01 00 00 FF 00").good(t, "72 00 00 00 00 00 00 00")
	n := w.device.Connect(NexusConfig{InitiatorPort: "c", TargetPort: 1})
	w.by(n, "12 00 00 00 05 00").good(t, "00 00 06 12 5B")
	w.by(n, "03 00 00 00 FF 00").good(t, senseFor("06", "29 00", "", ""))
	w.by(n, "00 00 00 00 00 00").good(t, "")
}

func TestReportSupportedOpcodes(t *testing.T) {
	w := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Profile.Encrypted = true })
	w.steps(t, []step{
		{name: "READ(10)", cdb: "A3 0C 01 28 00 00 00 00 00 FF 00 00", in: "00 03 00 0A 28 1A FF FF FF FF 3F FF FF 00"},
		{name: "READ(10), with timeouts", cdb: "A3 0C 81 28 00 00 00 00 00 FF 00 00", in: "00 83 00 0A 28 1A FF FF FF FF 3F FF FF 00 00 0A 00 00 00 00 00 00 00 00 00 1E"},
		{name: "READ CAPACITY(16)", cdb: "A3 0C 02 9E 00 10 00 00 00 FF 00 00", in: "00 03 00 10 9E 10 00 00 00 00 00 00 00 00 FF FF FF FF 00 00"},
		{name: "either", cdb: "A3 0C 03 28 00 00 00 00 00 04 00 00", in: "00 03 00 0A"},
		{name: "no such code", cdb: "A3 0C 01 FF 00 00 00 00 00 FF 00 00", in: "00 01 00 00"},
		{name: "no such action", cdb: "A3 0C 02 9E 00 1E 00 00 00 FF 00 00", in: "00 01 00 00"},
		{name: "action of a code that has none", cdb: "A3 0C 02 28 00 00 00 00 00 FF 00 00", sense: senseFor("05", "24 00", "", "CA 00 02")},
		{name: "code of one that has actions", cdb: "A3 0C 01 9E 00 00 00 00 00 FF 00 00", sense: senseFor("05", "24 00", "", "CA 00 02")},
		{name: "no such option", cdb: "A3 0C 04 28 00 00 00 00 00 FF 00 00", sense: senseFor("05", "24 00", "", "CA 00 02")},
		{name: "task management", cdb: "A3 0D 00 00 00 00 00 00 00 FF 00 00", in: "DA 00 00 00"},
		{name: "task management, extended", cdb: "A3 0D 80 00 00 00 00 00 00 FF 00 00", in: "DA 00 00 0C 00 00 00 00 00 00 00 00 00 00 00 00"},
		{name: "task management, no room", cdb: "A3 0D 00 00 00 00 00 00 00 03 00 00", sense: senseFor("05", "24 00", "", "C0 00 06")},
	})
	// The list has every row of the table, once.
	rows := 0
	for _, family := range families {
		rows += len(family)
	}
	all := w.do("A3 0C 00 00 00 00 00 00 FF FF 00 00")
	if len(all.in) != 4+8*rows {
		t.Errorf("%d bytes for %d commands", len(all.in), rows)
	}
}

func TestDefectsAndDiagnostic(t *testing.T) {
	w := newWorld(t, nil)
	w.steps(t, []step{
		{name: "defects, 10", cdb: "37 00 1D 00 00 00 00 00 20 00", in: "00 1D 00 00"},
		{name: "defects, 12", cdb: "B7 18 00 00 00 00 00 00 00 20 00 00", in: "00 18 00 00 00 00 00 00"},
		{name: "self-test", cdb: "1D 04 00 00 00 00"},
		{name: "background self-test", cdb: "1D 20 00 00 00 00", sense: senseFor("05", "24 00", "", "CD 00 01")},
	})
}
