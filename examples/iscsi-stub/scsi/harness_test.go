package scsi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// world is a device with one unit at LUN 0, and an initiator.
type world struct {
	t      testing.TB
	device *Device
	unit   *Unit
	nexus  *Nexus
}

// newWorld makes a world around a memory volume of 512-byte blocks, unless change says
// otherwise; the initiator has seen its power-on unit attention.
func newWorld(t testing.TB, change func(*volume.Config, *UnitConfig)) *world {
	t.Helper()
	config := volume.Config{Name: "v", ID: [16]byte{1, 2, 3}, Kind: volume.Memory, Blocks: 2048, Profile: volume.Profile{Thin: true}}
	unit := UnitConfig{Keeper: &keeper{}}
	if change != nil {
		change(&config, &unit)
	}
	v, err := volume.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	unit.Volume = v
	u, err := NewUnit(unit)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDevice(DeviceConfig{Name: "iqn.2026-11.test:d", Ports: []TargetPort{{ID: 1, Name: "iqn.2026-11.test:d,t,0x0001"}}})
	if err := d.Add(0, u); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, device: d, unit: u}
	w.nexus = w.connect("a")
	return w
}

// connect makes another initiator, who has seen his power-on unit attention.
func (w *world) connect(name string) *Nexus {
	n := w.device.Connect(NexusConfig{InitiatorPort: name, TargetPort: 1})
	for _, p := range *n.paths.Load() {
		p.take()
	}
	return n
}

// keeper keeps in memory.
type keeper struct {
	mu    sync.Mutex
	state map[string][]byte
	fails bool
}

var errKeeper = errors.New("the keeper's disk is full")

func (k *keeper) Save(unit string, state []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails {
		return errKeeper
	}
	if k.state == nil {
		k.state = make(map[string][]byte)
	}
	k.state[unit] = bytes.Clone(state)
	return nil
}

func (k *keeper) Load(unit string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state[unit], nil
}

// unhex reads bytes written in hexadecimal, with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// outcome is what a command came to.
type outcome struct {
	status Status
	sense  []byte
	in     []byte
}

// do does a command at LUN 0, as a transport does, and returns what it came to.
func (w *world) do(cdb string, out ...byte) outcome { w.t.Helper(); return w.by(w.nexus, cdb, out...) }

// by does a command of another nexus.
func (w *world) by(n *Nexus, cdb string, out ...byte) outcome {
	w.t.Helper()
	return run(n, [8]byte{}, unhex(w.t, cdb), out)
}

// run does a command.
func run(n *Nexus, lun [8]byte, cdb, out []byte) outcome {
	c := &Command{LUN: lun, CDB: cdb}
	defer c.End()
	switch n.Start(c) {
	case NeedData:
		c.Out = out[:min(len(out), c.OutLen)]
		c.Run(MayWait)
	case Ready:
		c.Run(MayWait)
	}
	await(c)
	o := outcome{status: c.Status, in: make([]byte, c.InLen)}
	if c.InLen > 0 && !c.ReadIn(o.in, 0, MayWait) {
		o.in = nil
	}
	o.status, o.sense = c.Status, bytes.Clone(c.Sense)
	return o
}

// await waits for what the command's outcome depends on.
func await(c *Command) {
	for over := make(chan struct{}); c.Await(func() { close(over) }); over = make(chan struct{}) {
		<-over
	}
}

// good fails the test unless the command came to GOOD with this data-in.
func (o outcome) good(t testing.TB, in string) {
	t.Helper()
	if o.status != Good {
		t.Fatalf("status %v, sense % X", o.status, o.sense)
	}
	if want := unhex(t, in); !bytes.Equal(o.in, want) {
		t.Fatalf("data-in\n% X, want\n% X", o.in, want)
	}
}

// check fails the test unless the command came to CHECK CONDITION with this sense data.
func (o outcome) check(t testing.TB, sense string) {
	t.Helper()
	if o.status != CheckCondition {
		t.Fatalf("status %v, want CHECK CONDITION", o.status)
	}
	if want := unhex(t, sense); !bytes.Equal(o.sense, want) {
		t.Fatalf("sense\n% X, want\n% X", o.sense, want)
	}
}

// senseFor is fixed-format sense data: the key, the code, four bytes of information or
// none, and the sense-key specific bytes or none.
func senseFor(key, code, info, specific string) string {
	valid := "F0"
	if info == "" {
		valid, info = "70", "00 00 00 00"
	}
	if specific == "" {
		specific = "00 00 00"
	}
	return valid + " 00 " + key + info + " 0A 00 00 00 00" + code + "00" + specific
}

// What most refusals are.
var (
	outOfRange = senseFor("05", "21 00", "", "")
	protected  = senseFor("07", "27 00", "", "")
)

// fill is n bytes of b.
func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// holds fails the test unless the volume has these bytes from a block on.
func (w *world) holds(lba int, want []byte) {
	w.t.Helper()
	b := make([]byte, len(want))
	if err := w.unit.volume.ReadAt(b, int64(lba)*int64(w.unit.volume.BlockSize()), MayWait); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		w.t.Fatalf("block %d on: % X…, want % X…", lba, b[:16], want[:16])
	}
}

// a step of a table: a CDB, its data-out, and what it comes to: data-in, or sense data.
type step struct {
	name  string
	cdb   string
	out   []byte
	in    string
	sense string
}

// steps does steps one after the other.
func (w *world) steps(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Helper()
			o := run(w.nexus, [8]byte{}, unhex(t, s.cdb), s.out)
			if s.sense != "" {
				o.check(t, s.sense)
			} else {
				o.good(t, s.in)
			}
		})
	}
}
