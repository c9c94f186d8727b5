package scsi

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/qos"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

const (
	blockErase  = "48 02 00 00 00 00 00 00 00 00"
	cryptoErase = "48 03 00 00 00 00 00 00 00 00"
	inProgress  = "70 00 02 00 00 00 00 0A 00 00 00 00 04 1B 00 80 00 00"
	failedSane  = "70 00 03 00 00 00 00 0A 00 00 00 00 31 03 00 00 00 00"
	readOne     = "28 00 00 00 00 00 00 00 01 00"
)

// overwrite is a SANITIZE, OVERWRITE with this first byte, and its parameter list.
func overwrite(flags, count byte, pattern []byte) (cdb string, list []byte) {
	list = append([]byte{count, 0, byte(len(pattern) >> 8), byte(len(pattern))}, pattern...)
	return fmt.Sprintf("48 %02X 00 00 00 00 00 %02X %02X 00", flags|1, len(list)>>8, len(list)&0xFF), list
}

func TestSanitize(t *testing.T) {
	w := newWorld(t, nil)
	w.do("2A 00 00 00 00 00 00 00 01 00", fill('a', 512)...).good(t, "")
	w.do(blockErase).good(t, "")
	w.do(readOne).good(t, fmt.Sprintf("%x", make([]byte, 512)))
	w.do("9E 12 00 00 00 00 00 00 00 00 00 00 00 18 00 00").good(t, "00 00 00 14 00 00 00 00 00 00 00 00 00 00 00 00 00 00 08 00 01 00 00 00")
	for _, c := range []struct {
		count   byte
		pattern []byte
		want    []byte
	}{
		{1, fill(0xAA, 512), fill(0xAA, 512)},
		{1, []byte{1, 2, 3}, bytes.Repeat([]byte{1, 2, 3}, 171)[:512]},
		{0x82, fill(0x0F, 4), fill(0xF0, 512)}, // INVERT
		{0x83, fill(0x0F, 4), fill(0x0F, 512)},
	} {
		cdb, list := overwrite(0, c.count, c.pattern)
		w.do(cdb, list...).good(t, "")
		w.do(readOne).good(t, fmt.Sprintf("%x", c.want))
		w.do("28 00 00 00 07 FF 00 00 01 00").good(t, fmt.Sprintf("%x", c.want))
	}
	w.do("48 1F 00 00 00 00 00 00 00 00").good(t, "")
}

// CRYPTOGRAPHIC ERASE is known to units that have a key, thin or not, and is not kept back by
// their quality of service.
func TestCryptographicErase(t *testing.T) {
	const (
		supported = "A3 0C 02 48 00 03 00 00 00 FF 00 00"
		features  = "12 01 B1 00 04 00"
		reads     = "12 01 B1 00 40 00"
	)
	for _, thin := range []bool{true, false} {
		plain := newWorld(t, func(c *volume.Config, _ *UnitConfig) { c.Profile.Thin = thin })
		plain.do(supported).good(t, "00 01 00 00")
		kept := &keeper{}
		w, b := twoInitiators(t, func(c *volume.Config, u *UnitConfig) {
			c.Profile = volume.Profile{Thin: thin, Encrypted: true}
			u.Keeper, u.Shaper = kept, newGate()
		})
		w.do(supported).good(t, "00 03 00 0A 48 A3 00 00 00 00 00 FF FF 00")
		if page := w.do(reads).in; page[7]&0x30 != 0x10 {
			t.Errorf("WACEREQ is in % X", page[:8])
		}
		w.do(features).good(t, "00 B1 00 3C")
		w.do("48 03 00 00 00 00 00 00 08 00", make([]byte, 8)...).check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 C0 00 07")
		w.by(b, "16 00 00 00 00 00").good(t, "")
		w.do(cryptoErase).conflict(t)
		w.by(b, "17 00 00 00 00 00").good(t, "")
		w.do("2A 00 00 00 00 00 00 00 01 00", fill('a', 512)...).good(t, "")
		w.do(cryptoErase).good(t, "")
		w.do("00 00 00 00 00 00").good(t, "")
		w.do(readOne).good(t, fmt.Sprintf("%x", make([]byte, 512)))
	}
}

// A key that could not be replaced is a sanitize that failed, after which nothing is read.
func TestCryptographicEraseFails(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(c *volume.Config, _ *UnitConfig) {
		c.Kind, c.Path, c.KeyPath = volume.File, filepath.Join(dir, "v.img"), filepath.Join(dir, "v.key")
		c.Profile.Encrypted = true
		if err := volume.Create(*c); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.Remove(filepath.Join(dir, "v.key")); err != nil {
		t.Fatal(err)
	}
	w.do("48 23 00 00 00 00 00 00 00 00").check(t, failedSane) // AUSE
	w.do(readOne).check(t, failedSane)
	w.do("48 1F 00 00 00 00 00 00 00 00").good(t, "")
	if o := w.do(readOne); o.status != CheckCondition {
		t.Error("a read after it:", o.status)
	}
}

func TestSanitizeRefuses(t *testing.T) {
	w, b := twoInitiators(t, removable)
	field := func(at string) string { return "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 " + at }
	for cdb, at := range map[string]string{
		cryptoErase:                     "CC 00 01", // without a key
		"48 00 00 00 00 00 00 00 00 00": "CC 00 01",
		"48 42 00 00 00 00 00 00 00 00": "CE 00 01", // ZNR
		"48 02 00 00 01 00 00 00 00 00": "C8 00 04",
		"48 02 00 00 00 00 00 00 08 00": "C0 00 07",
		"48 1F 00 00 00 00 00 00 08 00": "C0 00 07",
		"48 01 00 00 00 00 00 00 04 00": "C0 00 07",
		"48 01 00 00 00 00 00 02 05 00": "C0 00 07",
	} {
		w.do(cdb, make([]byte, 517)...).check(t, field(at))
	}
	parameter := func(at string) string { return "70 00 05 00 00 00 00 0A 00 00 00 00 26 00 00 " + at }
	cdb, list := overwrite(0, 0, fill(1, 4))
	w.do(cdb, list...).check(t, parameter("8C 00 00"))
	cdb, list = overwrite(0, 0x21, fill(1, 4))
	w.do(cdb, list...).check(t, parameter("8E 00 00"))
	w.do("48 01 00 00 00 00 00 00 08 00", 1, 0, 0, 0, 1, 1, 1, 1).check(t, parameter("80 00 02"))
	w.do("48 01 00 00 00 00 00 00 08 00", 1, 0, 2, 1, 1, 1, 1, 1).check(t, parameter("80 00 02"))
	w.by(b, "16 00 00 00 00 00").good(t, "")
	w.do(blockErase).conflict(t)
	w.by(b, "17 00 00 00 00 00").good(t, "")
	w.do(eject).good(t, "")
	w.do(blockErase).check(t, noMedium)

	w = newWorld(t, func(c *volume.Config, _ *UnitConfig) { c.Profile.ReadOnly = true })
	w.do(blockErase).check(t, "70 00 07 00 00 00 00 0A 00 00 00 00 27 00 00 00 00 00")
	w = newWorld(t, func(c *volume.Config, _ *UnitConfig) { c.Profile.ReadOnly, c.Profile.Encrypted = true, true })
	w.do(cryptoErase).check(t, "70 00 07 00 00 00 00 0A 00 00 00 00 27 00 00 00 00 00")
	w = newWorld(t, func(c *volume.Config, _ *UnitConfig) { c.Profile.Thin = false })
	w.do(blockErase).check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 20 00 00 00 00 00")
}

// gate is a shaper that lets nothing through until it is opened.
type gate struct {
	once  sync.Once
	asked chan struct{}
	mu    sync.Mutex
	open  bool
}

func newGate() *gate { return &gate{asked: make(chan struct{})} }

func (g *gate) Admit(*qos.IO, time.Time) time.Duration {
	g.once.Do(func() { close(g.asked) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return 0
	}
	return time.Millisecond
}

func (g *gate) Done(*qos.IO, time.Time) {}

func (g *gate) let() {
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
}

// While it goes on the unit answers with how far it is; nothing that becomes of who asked
// ends it.
func TestSanitizeInProgress(t *testing.T) {
	g := newGate()
	w, b := twoInitiators(t, func(_ *volume.Config, u *UnitConfig) { u.Shaper = g })
	c := &Command{CDB: unhex(t, blockErase)}
	if w.nexus.Start(c) != Ready {
		t.Fatal(c.Status)
	}
	c.Run(MayWait)
	over := make(chan struct{})
	if !c.Await(func() { close(over) }) {
		t.Fatal("it does not wait for the end")
	}
	<-g.asked
	for _, cdb := range []string{"00 00 00 00 00 00", readOne, "1B 01 00 00 12 00", blockErase} {
		w.by(b, cdb).check(t, inProgress)
	}
	w.by(b, "03 00 00 00 12 00").good(t, inProgress)
	w.by(b, "12 00 00 00 00 00").good(t, "")
	b.LogicalUnitReset([8]byte{}, func() {})
	told(t, w, b, BusDeviceReset)
	w.nexus.Close()
	w.by(b, readOne).check(t, inProgress)
	w.unit.medium.mu.Lock()
	s := w.unit.medium.sanitize
	w.unit.medium.mu.Unlock()
	g.let()
	<-s.done
	<-over
	if c.Await(nil) || c.Status != Good {
		t.Error(c.Status)
	}
	told(t, w, b, 0)
}

// A restart in the middle does not show a half-erased medium as a good one.
func TestSanitizeInterrupted(t *testing.T) {
	for _, ause := range []string{"", "A"} {
		kept, g := &keeper{}, newGate()
		config := func(_ *volume.Config, u *UnitConfig) { u.Keeper, u.Shaper = kept, g }
		w := newWorld(t, config)
		w.do(map[string]string{"": "48 82", "A": "48 A2"}[ause]+" 00 00 00 00 00 00 00 00").good(t, "") // IMMED
		w.unit.Close()
		w.do(readOne).check(t, failedSane)
		g.let()
		w = newWorld(t, config)
		w.do("00 00 00 00 00 00").check(t, failedSane)
		w.do(readOne).check(t, failedSane)
		if ause == "" {
			w.do("48 1F 00 00 00 00 00 00 00 00").check(t, "70 00 05 00 00 00 00 0A 00 00 00 00 24 00 00 CC 00 01")
			w.do(blockErase).good(t, "")
		} else {
			w.do("48 1F 00 00 00 00 00 00 00 00").good(t, "")
		}
		w.do("00 00 00 00 00 00").good(t, "")
		w = newWorld(t, config)
		w.do("00 00 00 00 00 00").good(t, "")
	}
}

// Nothing is erased before it is on disk that the unit is being erased.
func TestSanitizeNotKept(t *testing.T) {
	kept := &keeper{fails: true}
	w := newWorld(t, func(_ *volume.Config, u *UnitConfig) { u.Keeper = kept })
	w.do(blockErase).check(t, "70 00 04 00 00 00 00 0A 00 00 00 00 44 00 00 00 00 00")
	w.do("00 00 00 00 00 00").good(t, "")
}
