package scsi

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

func TestReadWrite(t *testing.T) {
	w := newWorld(t, nil) // 2048 blocks of 512 bytes
	hex := func(b []byte) string { return fmt.Sprintf("%X", b) }
	w.steps(t, []step{
		{name: "6", cdb: "0A 00 00 01 01 00", out: fill('a', 512)},
		{name: "6 back", cdb: "08 00 00 01 01 00", in: hex(fill('a', 512))},
		{name: "6 with 0 is 256", cdb: "08 00 07 01 00 00", sense: outOfRange},
		{name: "10", cdb: "2A 08 00 00 00 02 00 00 02 00", out: fill('b', 1024)},
		{name: "10 back", cdb: "28 18 00 00 00 02 00 00 02 00", in: hex(fill('b', 1024))},
		{name: "12", cdb: "AA 00 00 00 07 FF 00 00 00 01 00 00", out: fill('c', 512)},
		{name: "12 back", cdb: "A8 00 00 00 07 FF 00 00 00 01 00 00", in: hex(fill('c', 512))},
		{name: "16", cdb: "8A 00 00 00 00 00 00 00 00 04 00 00 00 01 00 00", out: fill('d', 512)},
		{name: "16 back", cdb: "88 00 00 00 00 00 00 00 00 03 00 00 00 02 00 00", in: hex(append(fill('b', 512), fill('d', 512)...))},
		{name: "nothing", cdb: "28 00 00 00 00 02 00 00 00 00"},
		{name: "nothing, behind the end", cdb: "28 00 00 00 08 00 00 00 00 00", sense: outOfRange},
		{name: "across the end", cdb: "28 00 00 00 07 FF 00 00 02 00", sense: outOfRange},
		{name: "an LBA that wraps", cdb: "88 00 FF FF FF FF FF FF FF FF 00 00 00 02 00 00", sense: outOfRange},
		{name: "RDPROTECT", cdb: "28 20 00 00 00 02 00 00 01 00", sense: senseFor("05", "24 00", "", "CD 00 01")},
		{name: "NACA", cdb: "28 00 00 00 00 02 00 00 01 04", sense: senseFor("05", "24 00", "", "CA 00 09")},
		{name: "group", cdb: "28 00 00 00 00 02 1F 00 00 00"},
		{name: "too long for the limit", cdb: "88 00 00 00 00 00 00 00 00 00 FF FF FF FF 00 00", sense: outOfRange},
		{name: "write across the end", cdb: "2A 00 00 00 07 FF 00 00 02 00", out: fill('x', 1024), sense: outOfRange},
		{name: "a short data-out", cdb: "2A 00 00 00 00 02 00 00 02 00", out: fill('e', 512)},
		{name: "and what it left", cdb: "28 00 00 00 00 02 00 00 02 00", in: hex(append(fill('e', 512), fill('b', 512)...))},
		{name: "half a block", cdb: "2A 00 00 00 00 02 00 00 01 00", out: fill('f', 200), sense: senseFor("05", "0E 03", "", "")},
		{name: "no data-out at all", cdb: "2A 00 00 00 00 02 00 00 01 00"},
		{name: "which wrote nothing", cdb: "28 00 00 00 00 02 00 00 01 00", in: hex(fill('e', 512))},
	})
}

func TestTransferLimit(t *testing.T) {
	w := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Kind, v.Blocks = volume.Null, 1<<32 })
	// 8 MiB, and a block more: the field that is too large is pointed at.
	c := &Command{CDB: unhex(t, "88 00 00 00 00 00 00 00 00 00 00 00 40 00 00 00")}
	if w.nexus.Start(c) != Ready || c.failed() {
		t.Fatalf("% X", c.Sense)
	}
	w.do("88 00 00 00 00 00 00 00 00 00 00 00 40 01 00 00").check(t, senseFor("05", "24 00", "", "C0 00 0A"))
	w.do("2A 00 00 00 00 00 00 FF FF 00").check(t, senseFor("05", "24 00", "", "C0 00 07"))
}

// TestReadInPieces reads data-in in pieces that begin and end anywhere: a transport's
// segments need not be whole blocks.
func TestReadInPieces(t *testing.T) {
	w := newWorld(t, nil)
	want := make([]byte, 4*512)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	w.do("2A 00 00 00 00 00 00 00 04 00", want...).good(t, "")
	for _, piece := range []int{1, 100, 511, 512, 513, 1000, 1024, 2048} {
		c := &Command{CDB: unhex(t, "28 00 00 00 00 00 00 00 04 00")}
		w.nexus.Start(c)
		c.Run(DontWait)
		got := make([]byte, c.InLen)
		for pos := 0; pos < len(got); pos += piece {
			if !c.ReadIn(got[pos:min(pos+piece, len(got))], pos, DontWait) {
				t.Fatalf("% X", c.Sense)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("wrong data in pieces of %d", piece)
		}
	}
}

func TestReadOnlyUnit(t *testing.T) {
	w := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Profile.ReadOnly, v.Profile.Encrypted = true, true })
	for op := range opcodes {
		for _, r := range opcodes[op].rows {
			if r.does&writes == 0 {
				continue
			}
			cdb := make([]byte, len(r.mask))
			cdb[0] = r.op
			if r.action != none {
				cdb[1] = byte(r.action)
			}
			o := run(w.nexus, [8]byte{}, cdb, nil)
			o.check(t, protected)
		}
	}
	w.do("28 00 00 00 00 00 00 00 00 00").good(t, "")
}

func TestVerify(t *testing.T) {
	w := newWorld(t, nil)
	two := append(fill('a', 512), fill('b', 512)...)
	wrong := bytes.Clone(two)
	wrong[700] = 'x'
	w.steps(t, []step{
		{name: "write and verify", cdb: "2E 02 00 00 00 05 00 00 02 00", out: two},
		{name: "readable", cdb: "2F 00 00 00 00 05 00 00 02 00"},
		{name: "the same", cdb: "2F 02 00 00 00 05 00 00 02 00", out: two},
		{name: "not the same", cdb: "2F 12 00 00 00 05 00 00 02 00", out: wrong, sense: senseFor("0E", "1D 00", "00 00 02 BC", "")},
		{name: "each the same", cdb: "AF 06 00 00 00 05 00 00 00 01 00 00", out: fill('a', 512)},
		{name: "not each the same", cdb: "8F 06 00 00 00 00 00 00 00 05 00 00 00 02 00 00", out: fill('a', 512), sense: senseFor("0E", "1D 00", "00 00 02 00", "")},
		{name: "BYTCHK 2", cdb: "2F 04 00 00 00 05 00 00 02 00", sense: senseFor("05", "24 00", "", "CA 00 01")},
		{name: "write and verify, BYTCHK 3", cdb: "2E 06 00 00 00 05 00 00 02 00", sense: senseFor("05", "24 00", "", "CA 00 01")},
		{name: "out of range", cdb: "2F 02 00 00 08 00 00 00 01 00", sense: outOfRange},
	})
}

// TestVerifyManyBlocks: the offset in INFORMATION counts from the first block, not from the
// part of the medium that was compared last.
func TestVerifyManyBlocks(t *testing.T) {
	w := newWorld(t, nil)
	many := fill('a', 200*512)
	many[150*512+1] = 'x'
	w.do("2A 00 00 00 00 00 00 00 C8 00", many...).good(t, "")
	miscompared := senseFor("0E", "1D 00", "00 01 2C 01", "")
	w.do("2F 02 00 00 00 00 00 00 C8 00", fill('a', 200*512)...).check(t, miscompared)
	w.do("2F 06 00 00 00 00 00 00 C8 00", fill('a', 512)...).check(t, miscompared)
}

func TestCompareAndWrite(t *testing.T) {
	w := newWorld(t, nil)
	cdb := "89 00 00 00 00 00 00 00 00 03 00 00 00 01 00 00"
	w.do(cdb, append(fill(0, 512), fill('a', 512)...)...).good(t, "")
	w.holds(3, fill('a', 512))
	wrong := fill('a', 512)
	wrong[0x123] = 'x'
	w.do(cdb, append(wrong, fill('b', 512)...)...).check(t, senseFor("0E", "1D 00", "00 00 01 23", ""))
	w.holds(3, fill('a', 512))
	w.do(cdb, fill('a', 512)...).check(t, senseFor("05", "0E 03", "", ""))
	w.do("89 00 00 00 00 00 00 00 07 FF 00 00 00 02 00 00").check(t, outOfRange)
	w.do("89 00 00 00 00 00 00 00 00 03 00 00 00 00 00 00").good(t, "")

	// 256 blocks: the count has no room for them.
	none := &Command{CDB: unhex(t, "89 00 00 00 00 00 00 00 00 03 00 00 00 00 00 00"), Expected: 256 * 1024}
	if w.nexus.Start(none) != Done || !bytes.Equal(none.Sense, unhex(t, senseFor("05", "24 00", "", "CF 00 0D"))) {
		t.Fatalf("%v % X", none.Status, none.Sense)
	}
	// The initiator sends four blocks where two are asked for.
	c := &Command{CDB: unhex(t, cdb), Expected: 2048}
	if w.nexus.Start(c) != Done || !bytes.Equal(c.Sense, unhex(t, senseFor("05", "0E 03", "", ""))) {
		t.Fatalf("%v % X", c.Status, c.Sense)
	}
}

func TestOrWriteAndWriteAtomic(t *testing.T) {
	w := newWorld(t, nil)
	w.do("9C 08 00 00 00 00 00 00 00 02 00 00 00 02 00 00", fill(0x0F, 1024)...).good(t, "")
	w.do("8B 00 00 00 00 00 00 00 00 03 00 00 00 01 00 00", fill(0xA0, 512)...).good(t, "")
	w.holds(2, append(fill(0x0F, 512), fill(0xAF, 512)...))
	w.do("9C 00 00 00 00 00 00 00 00 02 00 01 00 02 00 00").check(t, senseFor("05", "24 00", "", "C8 00 0B")) // a boundary
	w.do("9C 00 00 00 00 00 00 00 07 FF 00 00 00 02 00 00").check(t, outOfRange)
	w.do("9C 00 00 00 00 00 00 00 00 02 00 00 00 02 00 00", fill('x', 512)...).check(t, senseFor("05", "0E 03", "", "")) // all or nothing
	w.holds(2, fill(0x0F, 512))
}

func TestWriteSame(t *testing.T) {
	w := newWorld(t, nil)
	w.do("41 00 00 00 00 0A 00 00 03 00", fill('s', 512)...).good(t, "")
	w.holds(10, fill('s', 3*512))
	w.do("93 09 00 00 00 00 00 00 00 0B 00 00 00 01 00 00").good(t, "") // UNMAP, NDOB
	w.holds(10, append(fill('s', 512), fill(0, 512)...))
	w.do("41 00 00 00 07 FE 00 00 00 00", fill('e', 512)...).good(t, "") // 0 blocks: to the end
	w.holds(2046, fill('e', 1024))
	w.do("41 00 00 00 08 00 00 00 00 00", fill('e', 512)...).check(t, outOfRange)
	w.do("41 10 00 00 00 0A 00 00 01 00", fill('e', 512)...).check(t, senseFor("05", "24 00", "", "CC 00 01")) // ANCHOR
	w.do("41 00 00 00 00 0A 00 00 01 00", fill('e', 100)...).check(t, senseFor("05", "0E 03", "", ""))
}

func TestWriteSameToEndRefused(t *testing.T) {
	w := newWorld(t, func(_ *volume.Config, u *UnitConfig) { u.RefuseWriteSameToEnd = true })
	w.do("41 00 00 00 07 FE 00 00 00 00", fill('e', 512)...).check(t, senseFor("05", "24 00", "", "C0 00 07"))
	w.do("12 01 B0 00 05 00").good(t, "00 B0 00 3C 01")
}

func TestUnmap(t *testing.T) {
	w := newWorld(t, nil)
	list := func(ranges ...[2]uint64) []byte {
		b := []byte{0, byte(6 + 16*len(ranges)), 0, byte(16 * len(ranges)), 0, 0, 0, 0}
		for _, r := range ranges {
			d := make([]byte, 16)
			d[6], d[7], d[10], d[11] = byte(r[0]>>8), byte(r[0]), byte(r[1]>>8), byte(r[1])
			b = append(b, d...)
		}
		return b
	}
	unmap := func(list []byte) outcome {
		return w.do(fmt.Sprintf("42 00 00 00 00 00 00 00 %02X 00", len(list)), list...)
	}
	w.do("41 00 00 00 00 00 00 00 20 00", fill('u', 512)...).good(t, "")
	unmap(list([2]uint64{8, 8}, [2]uint64{24, 8})).good(t, "")
	w.holds(7, append(fill('u', 512), fill(0, 512)...))
	// The status of blocks 0 to 2047: mapped 8, deallocated 8, mapped 8, deallocated the rest.
	w.do("9E 12 00 00 00 00 00 00 00 00 00 00 01 00 00 00").good(t, `00 00 00 44 00 00 00 00
		00 00 00 00 00 00 00 00  00 00 00 08  00 00 00 00
		00 00 00 00 00 00 00 08  00 00 00 08  01 00 00 00
		00 00 00 00 00 00 00 10  00 00 00 08  00 00 00 00
		00 00 00 00 00 00 00 18  00 00 07 E8  01 00 00 00`)
	w.do("9E 12 00 00 00 00 00 00 00 0A 00 00 00 18 00 00").good(t, "00 00 00 14 00 00 00 00 00 00 00 00 00 00 00 0A 00 00 00 06 01 00 00 00")
	w.do("9E 12 00 00 00 00 00 00 08 00 00 00 00 18 00 00").check(t, outOfRange)

	unmap(nil).good(t, "")
	unmap(list()).good(t, "")
	unmap(list([2]uint64{2048, 0})).good(t, "")
	// Nothing is done if any of it is wrong.
	unmap(list([2]uint64{0, 1}, [2]uint64{2047, 2})).check(t, senseFor("05", "21 00", "00 00 07 FF", ""))
	w.holds(0, fill('u', 512))
	unmap([]byte{0, 1, 2}).check(t, senseFor("05", "1A 00", "", ""))
	w.do("42 01 00 00 00 00 00 00 00 00").check(t, senseFor("05", "24 00", "", "C8 00 01")) // ANCHOR
}

func TestThickUnitKnowsNoUnmap(t *testing.T) {
	w := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.Profile.Thin = false })
	w.do("42 00 00 00 00 00 00 00 00 00").check(t, senseFor("05", "20 00", "", ""))
	w.do("41 08 00 00 00 00 00 00 01 00", fill(0, 512)...).check(t, senseFor("05", "24 00", "", "CB 00 01"))
	w.do("A3 0C 01 42 00 00 00 00 00 40 00 00").good(t, "00 01 00 00")
}

func TestCacheCommands(t *testing.T) {
	w := newWorld(t, nil)
	w.steps(t, []step{
		{name: "all", cdb: "35 00 00 00 00 00 00 00 00 00"},
		{name: "some", cdb: "91 02 00 00 00 00 00 00 00 02 00 00 00 04 00 00"},
		{name: "too much", cdb: "35 00 00 00 07 FF 00 00 02 00", sense: outOfRange},
		{name: "prefetch", cdb: "34 02 00 00 00 02 03 00 02 00"},
		{name: "prefetch too much", cdb: "90 00 00 00 00 00 00 00 07 FF 00 00 00 02 00 00", sense: outOfRange},
	})
}

// TestVolumeErrors: what a volume cannot do becomes the sense data that says so.
func TestVolumeErrors(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		err  error
		cdb  string
		want string
	}{
		{volume.ErrFull, "2A 00 00 00 01 02 00 00 01 00", senseFor("07", "27 07", "", "")},
		{volume.ErrReadOnly, "2A 00 00 00 01 02 00 00 01 00", senseFor("07", "27 00", "", "")},
		{volume.ErrMedium, "2A 00 00 00 01 02 00 00 01 00", senseFor("03", "0C 00", "00 00 01 02", "")},
		{volume.ErrMedium, "28 00 00 00 01 02 00 00 01 00", senseFor("03", "11 00", "00 00 01 02", "")},
		{volume.ErrTruncated, "28 00 00 00 01 02 00 00 01 00", senseFor("03", "11 00", "00 00 01 02", "")},
		{volume.ErrRange, "28 00 00 00 01 02 00 00 01 00", outOfRange},
		{errors.New("another"), "28 00 00 00 01 02 00 00 01 00", senseFor("04", "44 00", "", "")},
	} {
		c := &Command{CDB: unhex(t, test.cdb)}
		w.nexus.Start(c)
		if !c.finish(fmt.Errorf("volume v: %w", test.err)) || !bytes.Equal(c.Sense, unhex(t, test.want)) {
			t.Errorf("%v: % X, want % X", test.err, c.Sense, unhex(t, test.want))
		}
	}
}
