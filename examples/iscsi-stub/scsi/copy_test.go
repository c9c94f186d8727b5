package scsi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// copyList is EXTENDED COPY's parameter list.
type copyList struct {
	id, usage byte
	units     [][]byte
	segments  [][]byte
}

func (l copyList) bytes() []byte {
	b := make([]byte, 16)
	b[0], b[1] = l.id, l.usage<<3
	units, segments := bytes.Join(l.units, nil), bytes.Join(l.segments, nil)
	binary.BigEndian.PutUint16(b[2:], uint16(len(units)))
	binary.BigEndian.PutUint32(b[8:], uint32(len(segments)))
	return append(append(b, units...), segments...)
}

// named is an identification descriptor of a unit by its NAA.
func named(u *Unit) []byte {
	d := make([]byte, 32)
	d[0], d[4], d[5], d[7] = 0xE4, 0x01, 0x03, 8
	copy(d[8:], u.id.naa[:])
	return d
}

// blocks is a block to block segment descriptor.
func blocks(from, to byte, n uint16, fromLBA, toLBA uint64) []byte {
	d := make([]byte, 28)
	d[0], d[3], d[5], d[7] = 0x02, 0x18, from, to
	binary.BigEndian.PutUint16(d[10:], n)
	binary.BigEndian.PutUint64(d[12:], fromLBA)
	binary.BigEndian.PutUint64(d[20:], toLBA)
	return d
}

func (w *world) copy(l copyList) outcome {
	w.t.Helper()
	b := l.bytes()
	return w.do(fmt.Sprintf("83 00 00 00 00 00 00 00 00 00 00 00 %02X %02X 00 00", len(b)>>8, len(b)&0xFF), b...)
}

// secondUnit is a unit at LUN 1 of a world's device.
func (w *world) secondUnit(change func(*volume.Config)) *Unit {
	w.t.Helper()
	other := newWorld(w.t, func(v *volume.Config, _ *UnitConfig) {
		v.Name, v.ID = "other", [16]byte{9, 9}
		if change != nil {
			change(v)
		}
	})
	u := other.device.Remove(0)
	if err := w.device.Add(1, u); err != nil {
		w.t.Fatal(err)
	}
	for _, n := range []*Nexus{w.nexus} {
		for _, p := range *n.paths.Load() {
			for more := true; more; {
				_, more = p.take()
			}
		}
	}
	return u
}

func (w *world) block(lun byte, lba byte) []byte {
	return run(w.nexus, [8]byte{0, lun}, unhex(w.t, fmt.Sprintf("28 00 00 00 00 %02X 00 00 01 00", lba)), nil).in
}

func TestCopy(t *testing.T) {
	w := newWorld(t, nil)
	other := w.secondUnit(nil)
	w.do("2A 00 00 00 00 03 00 00 01 00", fill('x', 512)...).good(t, "")
	w.copy(copyList{id: 1, units: [][]byte{named(w.unit), named(other)}, segments: [][]byte{
		blocks(0, 1, 1, 3, 7), blocks(1, 0, 1, 7, 9),
	}}).good(t, "")
	if !bytes.Equal(w.block(1, 7), fill('x', 512)) || !bytes.Equal(w.block(0, 9), fill('x', 512)) {
		t.Fatal("not copied")
	}
	at := append(blocks(0, 0, 0, 3, 11), 0, 0, 0, 0)
	at[0], at[3], at[10] = 0x0A, 0x1C, 2 // 512 bytes
	w.copy(copyList{id: 2, units: [][]byte{named(w.unit)}, segments: [][]byte{at}}).good(t, "")
	if !bytes.Equal(w.block(0, 11), fill('x', 512)) {
		t.Fatal("not copied by bytes")
	}
	w.do("84 00 01 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 08 01 00 02 01 00 00 00 01")
	w.do("84 01 01 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 00")
	w.do("84 04 01 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 00")
	w.do("84 00 07 00 00 00 00 00 00 00 00 00 00 FF 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C0 00 02")
	w.do("84 03 00 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 2B 01 00 00 00 00 10 00 10 00 00 04 00"+
		"02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 FF FF 09 00 00 00 00 00 03 02 0A E4")
	w.do("83 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00").good(t, "")
}

const (
	unreachable = "70 00 0A 00 00 00 00 0A 00 00 00 00 08 04 00 00 00 00"
	beyondCopy  = "70 00 0A 00 00 00 00 0A 00 00 00 00 00 00 00 00 00 00"
	refusedCopy = "70 00 0A 00 00 00 00 0A 00 00 00 00 0D 01 00 00 00 00"
)

// A unit of another device, be it the same tenant's or not, is not to be had by its name.
func TestCopyKeepsToItsDevice(t *testing.T) {
	w := newWorld(t, nil)
	foreign := newWorld(t, func(v *volume.Config, _ *UnitConfig) { v.ID = [16]byte{7} })
	for _, s := range [][]byte{blocks(0, 1, 1, 0, 0), blocks(1, 0, 1, 0, 0)} {
		w.copy(copyList{units: [][]byte{named(w.unit), named(foreign.unit)}, segments: [][]byte{s}}).check(t, unreachable)
	}
}

// What the nexus may not do itself, a copy does not do for it.
func TestCopyRespectsReservations(t *testing.T) {
	w, b := twoInitiators(t, nil)
	other := w.secondUnit(func(v *volume.Config) { v.Profile.ReadOnly = true })
	units := [][]byte{named(w.unit), named(other)}
	w.copy(copyList{units: units, segments: [][]byte{blocks(0, 1, 1, 0, 0)}}).check(t, refusedCopy)
	w.copy(copyList{units: units, segments: [][]byte{blocks(1, 0, 1, 0, 0)}}).good(t, "")
	w.by(b, "00 00 00 00 00 00")
	lun1 := [8]byte{0, 1}
	for range 3 {
		run(b, lun1, unhex(t, "00 00 00 00 00 00"), nil)
	}
	if o := run(b, lun1, unhex(t, "16 00 00 00 00 00"), nil); o.status != Good {
		t.Fatal(o)
	}
	w.copy(copyList{id: 5, units: units, segments: [][]byte{blocks(1, 0, 1, 0, 0)}}).check(t, refusedCopy)
	w.do("84 00 05 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 08 02 00 00 01 00 00 00 00")
	w.do("84 04 05 00 00 00 00 00 00 00 00 00 00 FF 00 00").good(t, "00 00 00 4A"+hex.EncodeToString(make([]byte, 52))+
		"02 00 00 12"+refusedCopy)
}

func TestCopyRefuses(t *testing.T) {
	w := newWorld(t, nil)
	unit, one := named(w.unit), blocks(0, 0, 1, 0, 1)
	repeat := func(b []byte, n int) (list [][]byte) {
		for range n {
			list = append(list, b)
		}
		return list
	}
	change := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	sense := func(code string) string {
		return "70 00 05 00 00 00 00 0A 00 00 00 00 " + code
	}
	for name, c := range map[string]struct {
		list copyList
		want string
	}{
		"too many units":       {copyList{units: repeat(unit, 17), segments: [][]byte{one}}, sense("26 06 00 00 00 00")},
		"too many segments":    {copyList{units: [][]byte{unit}, segments: repeat(one, 17)}, sense("26 08 00 00 00 00")},
		"too long":             {copyList{units: repeat(unit, 17), segments: repeat(one, 18)}, sense("1A 00 00 00 00 00")},
		"unit by a port":       {copyList{units: [][]byte{change(unit, 0, 0xE0)}, segments: [][]byte{one}}, sense("26 07 00 00 00 00")},
		"stream to stream":     {copyList{units: [][]byte{unit}, segments: [][]byte{change(one, 0, 0x03)}}, sense("26 09 00 00 00 00")},
		"no such unit":         {copyList{units: [][]byte{unit}, segments: [][]byte{change(one, 7, 1)}}, unreachable},
		"beyond the end":       {copyList{units: [][]byte{unit}, segments: [][]byte{blocks(0, 0, 2, 0, 2047)}}, beyondCopy},
		"from beyond the end":  {copyList{units: [][]byte{unit}, segments: [][]byte{blocks(0, 0, 2, 1<<63, 0)}}, beyondCopy},
		"identifier forbidden": {copyList{id: 1, usage: 3}, sense("26 00 00 80 00 00")},
	} {
		t.Run(name, func(t *testing.T) { w.t = t; w.copy(c.list).check(t, c.want) })
	}
	w.t = t
	whole := copyList{units: [][]byte{unit}, segments: [][]byte{one}}.bytes()
	for _, n := range []int{15, 16 + 31, len(whole) - 1} {
		w.do(fmt.Sprintf("83 00 00 00 00 00 00 00 00 00 00 00 00 %02X 00 00", n), whole...).check(t, sense("1A 00 00 00 00 00"))
	}
}

// FuzzCopy: no parameter list does more than end the command.
func FuzzCopy(f *testing.F) {
	w := newWorld(f, nil)
	f.Add(copyList{id: 1, units: [][]byte{named(w.unit)}, segments: [][]byte{blocks(0, 0, 1, 0, 1)}}.bytes())
	f.Fuzz(func(t *testing.T, list []byte) {
		list = list[:min(len(list), copyHeader+maxCopyList)]
		c := &Command{CDB: []byte{0x83, 15: 0}, Out: list}
		binary.BigEndian.PutUint32(c.CDB[10:], uint32(len(list)))
		if w.nexus.Start(c) == NeedData {
			c.Run(MayWait)
		}
		c.End()
	})
}
