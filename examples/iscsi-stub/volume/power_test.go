package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// These tests cut the power. A machine is two disks, a volume's and its journal's, which
// keep what has been written and not synced sector by sector: when the power fails, each
// sector has what it had at its last sync, or any of what was written to it since.
// Before each call of the volume to a disk, some or all of these outcomes are looked at:
// the volume is opened on them and must keep its promises.

const (
	sector   = 512
	simSize  = 12 * sector
	outcomes = 16 // looked at in full if there are no more, else so many of them
)

// simDisk is a disk that loses power. Methods that the tests do not need are nil.
type simDisk struct {
	disk
	now    []byte
	synced []byte
	since  map[int][][]byte // by sector: what has been written since its last sync
	lost   map[int][][]byte // what a sync that failed left nobody knows where
	m      *machine
}

func newSim(m *machine, content []byte) *simDisk {
	return &simDisk{now: bytes.Clone(content), synced: bytes.Clone(content), since: map[int][][]byte{}, lost: map[int][][]byte{}, m: m}
}

// machine is what fails.
type machine struct {
	data, journal *simDisk // journal is nil until it is made
	keys          *simDisk // nil: the volume is not encrypted
	calls         int
	failAt        int // the call that fails with ErrMedium; 0: none
	look          func()
}

// call is around each call to a disk that changes it.
func (m *machine) call(f func()) error {
	if m.look != nil {
		m.look()
	}
	if m.calls++; m.calls == m.failAt {
		return ErrMedium
	}
	f()
	return nil
}

func (d *simDisk) readAt(p []byte, off int64) error {
	copy(p, d.now[off:])
	return nil
}

func (d *simDisk) readCached(p []byte, off int64) error { return d.readAt(p, off) }

func (d *simDisk) put(p []byte, off int64, keep map[int][][]byte) {
	if grow := int(off) + len(p) - len(d.now); grow > 0 {
		d.now = append(d.now, make([]byte, grow)...)
		d.synced = append(d.synced, make([]byte, grow)...)
	}
	copy(d.now[off:], p)
	for at := int(off); at < int(off)+len(p); at += sector {
		keep[at/sector] = append(keep[at/sector], bytes.Clone(d.now[at:at+sector]))
	}
}

func (d *simDisk) writeAt(p []byte, off int64) error {
	return d.m.call(func() { d.put(p, off, d.since) })
}

func (d *simDisk) punch(off, n int64) error { return d.writeAt(make([]byte, n), off) }

func (d *simDisk) writeStable(p []byte, off int64) error {
	if err := d.writeAt(p, off); err != nil {
		return err
	}
	return d.m.call(func() {
		for s := int(off) / sector; s < (int(off)+len(p))/sector; s++ {
			d.settle(s)
		}
	})
}

// settle makes a sector stable, unless a sync of it failed and it was not written since.
func (d *simDisk) settle(s int) {
	if d.since[s] == nil {
		return
	}
	copy(d.synced[s*sector:(s+1)*sector], d.now[s*sector:])
	delete(d.since, s)
	delete(d.lost, s)
}

func (d *simDisk) sync() error {
	err := d.m.call(func() {
		for s := range d.since {
			d.settle(s)
		}
	})
	if err != nil { // the kernel takes the pages for clean from now on
		for s, written := range d.since {
			d.lost[s] = append(d.lost[s], written...)
		}
		clear(d.since)
	}
	return err
}

func (d *simDisk) check(int64) error          { return nil }
func (d *simDisk) reserve(int64, int64) error { return nil }
func (d *simDisk) close() error               { return nil }

// after returns what the disk may have when the power is back: in each sector, choose(n)
// of its n possible contents.
func (d *simDisk) after(choose func(n int) int) []byte {
	if d == nil {
		return nil
	}
	b := bytes.Clone(d.synced)
	for s := range len(b) / sector {
		may := slices.Concat(d.lost[s], d.since[s])
		if i := choose(len(may) + 1); i > 0 {
			copy(b[s*sector:], may[i-1])
		}
	}
	return b
}

// survivor is the disk of another machine, which has what this may have after a loss of power.
func (d *simDisk) survivor(m *machine, choose func(n int) int) *simDisk {
	if d == nil {
		return nil
	}
	return newSim(m, d.after(choose))
}

// The machine is the journal's store.
func (m *machine) open() (disk, int64, error) {
	if m.journal == nil {
		return nil, 0, nil
	}
	return m.journal, int64(len(m.journal.now)), nil
}

func (m *machine) make() (disk, error) {
	m.journal = newSim(m, nil)
	return m.journal, nil
}

// boot opens the volume of the machine.
func (m *machine) boot() (*Volume, error) {
	cfg := Config{Name: "sim", ID: [16]byte{7}, BlockSize: sector, Blocks: simSize / sector, Profile: Profile{Thin: true}}
	f, err := newFiled(m.data, m, cfg, simSize)
	if err != nil {
		return nil, err
	}
	f.journal.room = 2*recordAlign + recordAlign/2 // two records: passes are short
	v := &Volume{config: cfg, medium: f}
	v.size.Store(simSize)
	if m.keys == nil {
		return v, nil
	}
	v.config.Profile.Encrypted = true
	keys, err := openKeyring(m.keys, cfg.ID)
	if err != nil {
		return nil, err
	}
	v.medium, err = newCrypt(f, keys, simSize)
	return v, err
}

// encrypt gives a new machine a key.
func (m *machine) encrypt() {
	first := keyEntry{key: newKey()}
	m.keys = newSim(m, append(first.slotOf([16]byte{7}), make([]byte, keySlot)...))
}

// outcomesOf calls f with machines that m may be after a loss of power now.
func (m *machine) outcomesOf(random *rand.Rand, f func(*machine)) {
	total := 1
	count := func(n int) int { total = min(total*n, 1<<20); return 0 }
	for _, d := range []*simDisk{m.data, m.journal, m.keys} {
		d.after(count)
	}
	for i := range min(total, outcomes) {
		rest := i
		choose := func(n int) int { c := rest % n; rest /= n; return c } // each of them once
		switch {
		case total <= outcomes:
		case i == 0: // as if only the process had been killed
			choose = func(n int) int { return n - 1 }
		default:
			choose = random.IntN
		}
		after := &machine{}
		after.data = m.data.survivor(after, choose)
		after.journal = m.journal.survivor(after, choose)
		after.keys = m.keys.survivor(after, choose)
		f(after)
	}
}

// deed is something done to blocks [from, to): they all have the tag then.
type deed struct {
	from, to int
	tag      byte
	update   bool
	done     bool // acknowledged
	stable   bool // and promised to last
}

// history is what has been done.
type history struct{ deeds []deed }

// judge finds a broken promise in the content of a volume.
func (h *history) judge(content []byte) error {
	shows := make([]int, simSize/sector) // the deed that each block shows
	for b := range shows {
		block := content[b*sector : (b+1)*sector]
		if bytes.Count(block, block[:1]) != sector {
			return fmt.Errorf("block %d is torn", b)
		}
		last, found := -1, -2
		for i, d := range h.deeds {
			if b < d.from || b >= d.to {
				continue
			}
			if d.stable {
				last = i
			}
			if d.tag == block[0] {
				found = i
			}
		}
		if block[0] == 0 && found == -2 {
			found = -1
		}
		if found < last {
			return fmt.Errorf("block %d shows %d (deed %d) though deed %d is stable", b, block[0], found, last)
		}
		shows[b] = found
	}
	for i, d := range h.deeds {
		if d.update && slices.Contains(shows[d.from:d.to], i) && slices.Min(shows[d.from:d.to]) < i {
			return fmt.Errorf("deed %d, an Update of blocks %d to %d, is there in part: %v", i, d.from, d.to, shows)
		}
	}
	return nil
}

// content is what a volume has that was opened after a loss of power.
func (m *machine) content() ([]byte, error) {
	v, err := m.boot()
	if err != nil {
		return nil, err
	}
	b := make([]byte, simSize)
	return b, v.ReadAt(b, 0, MayWait)
}

// TestPowerLoss plays random accesses, and cuts the power wherever it may matter; now
// and then a disk fails as well, and while journals are replayed the power fails again.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		m := &machine{}
		m.data = newSim(m, make([]byte, simSize))
		if seed%4 == 0 {
			m.encrypt()
		}
		if seed%3 == 0 {
			m.failAt = 1 + random.IntN(40)
		}
		h := &history{}
		m.look = func() {
			m.outcomesOf(random, func(after *machine) {
				replaying := 0
				after.look = func() { // once more
					if replaying++; replaying > 3 {
						return
					}
					after.outcomesOf(random, func(again *machine) {
						if b, err := again.content(); err != nil || h.judge(b) != nil {
							t.Fatalf("seed %d, power lost in a replay after %+v: %v %v", seed, h, err, h.judge(b))
						}
					})
				}
				if b, err := after.content(); err != nil || h.judge(b) != nil {
					t.Fatalf("seed %d, after %+v: %v %v", seed, h, err, h.judge(b))
				}
			})
		}
		v, err := m.boot()
		if err != nil {
			t.Fatal(err)
		}
		for range 14 {
			h.act(v, random)
		}
	}
}

// act does one random thing, and notes it.
func (h *history) act(v *Volume, random *rand.Rand) {
	from := random.IntN(simSize/sector - 3)
	d := deed{from: from, to: from + 1 + random.IntN(3), tag: byte(len(h.deeds) + 1)}
	off, n := int64(d.from*sector), (d.to-d.from)*sector
	p := bytes.Repeat([]byte{d.tag}, n)
	durable := random.IntN(2) == 0
	what := random.IntN(5)
	if d.update = what >= 3; what == 0 {
		if v.Sync(MayWait) == nil {
			for i := range h.deeds {
				h.deeds[i].stable = h.deeds[i].done
			}
		}
		return
	}
	h.deeds = append(h.deeds, d)
	var err error
	if d.update {
		err = v.Update(off, n, durable, MayWait, func(b []byte) error { copy(b, p); return nil })
	} else {
		err = v.WriteAt(p, off, durable, MayWait)
	}
	mine := &h.deeds[len(h.deeds)-1]
	mine.done = err == nil
	mine.stable = err == nil && durable
}

// TestFailedSyncIsRemembered: the kernel says once that it lost what was written.
func TestFailedSyncIsRemembered(t *testing.T) {
	m := &machine{failAt: 2}
	m.data = newSim(m, make([]byte, simSize))
	v, err := m.boot()
	if err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{1}, sector)
	if err := v.WriteAt(p, 0, false, MayWait); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.Sync(MayWait); !errors.Is(err, ErrMedium) {
			t.Errorf("Sync: %v, want what failed first", err)
		}
	}
	if err := v.WriteAt(p, 0, true, MayWait); !errors.Is(err, ErrMedium) {
		t.Errorf("WriteAt: %v", err)
	}
	if err := v.Update(0, sector, false, MayWait, func([]byte) error { return nil }); !errors.Is(err, ErrMedium) {
		t.Errorf("Update: %v", err)
	}
	if err := v.ReadAt(p, 0, MayWait); err != nil {
		t.Errorf("ReadAt: %v; reads go on", err)
	}
}
