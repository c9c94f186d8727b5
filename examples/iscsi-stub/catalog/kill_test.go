package catalog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// The victim is this program again: it works on a volume and a catalog, says on standard
// output what it is about to do and what has been acknowledged, and is killed.

const (
	victimDir   = "CATALOG_TEST_VICTIM_DIR"
	victimRound = "CATALOG_TEST_VICTIM_ROUND"

	shm = "/dev/shm" // where the volumes are encrypted

	workers      = 4
	workerBlocks = 96
	workerSize   = workerBlocks * 512
)

const (
	doWrite = iota
	doStable
	doUpdate
	doUnmap
	doSave
	doCreate
	doSync
	deeds // how many there are
)

// deed is what a worker is about to do: a line of the victim's output.
type deed struct {
	worker, what int
	from, n      int // blocks of the worker's part of the volume
	sequence     uint64
}

// block is what a block has that was written by a deed: the deed's number, the block's,
// and a checksum.
func block(worker, number int, sequence uint64) []byte {
	b := make([]byte, 512)
	binary.BigEndian.PutUint64(b, sequence)
	binary.BigEndian.PutUint64(b[8:], uint64(worker*workerBlocks+number))
	for i := 16; i < 508; i++ {
		b[i] = byte(sequence)
	}
	binary.BigEndian.PutUint32(b[508:], crc32.ChecksumIEEE(b[:508]))
	return b
}

func (d deed) bytes() (b []byte) {
	for i := range d.n {
		b = append(b, block(d.worker, d.from+i, d.sequence)...)
	}
	return b
}

func victimVolume(dir, name string) Volume {
	return Volume{Name: name, Kind: volume.File, Path: filepath.Join(dir, name+".img"), BlockSize: 512, Blocks: workers * workerBlocks, Profile: volume.Profile{Thin: true, Encrypted: strings.HasPrefix(dir, shm)}}
}

// victim works until it is killed.
func victim(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
	}
	round, err := strconv.ParseUint(os.Getenv(victimRound), 10, 32)
	fail(err)
	c, err := Open(Config{Path: filepath.Join(dir, "catalog.db")})
	fail(err)
	cfg, err := c.Ensure(victimVolume(dir, "disk"))
	fail(err)
	v, err := volume.Open(cfg)
	fail(err)
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for i := uint64(1); ; i++ {
				d := deed{worker: worker, what: rand.IntN(deeds), from: rand.IntN(workerBlocks - 16), n: 1 + rand.IntN(16), sequence: round<<32 | i<<8 | uint64(worker)}
				if d.what == doCreate && i%8 != 1 {
					d.what = doUpdate
				}
				say(fail, "begin", d)
				fail(d.do(c, v, dir))
				say(fail, "done", d)
			}
		})
	}
	all.Wait()
}

// say writes one line at once, so that it is whole, and in the pipe when it returns.
func say(fail func(error), word string, d deed) {
	_, err := os.Stdout.Write(fmt.Appendf(nil, "%s %d %d %d %d %d\n", word, d.worker, d.what, d.from, d.n, d.sequence))
	fail(err)
}

func (d deed) do(c *Catalog, v *volume.Volume, dir string) error {
	off, n := int64(d.worker*workerSize+d.from*512), d.n*512
	switch d.what {
	case doWrite, doStable:
		return v.WriteAt(d.bytes(), off, d.what == doStable, volume.MayWait)
	case doUpdate:
		return v.Update(off, n, false, volume.MayWait, func(b []byte) error { copy(b, d.bytes()); return nil })
	case doUnmap:
		return v.Unmap(off, int64(n), volume.MayWait)
	case doSave:
		return c.Save(fmt.Sprint("unit", d.worker), binary.BigEndian.AppendUint64(nil, d.sequence))
	case doCreate:
		_, err := c.Ensure(victimVolume(dir, d.volume()))
		return err
	default:
		return v.Sync(volume.MayWait)
	}
}

func (d deed) volume() string { return fmt.Sprint("made", d.sequence) }

// memory is what the parent knows of one worker.
type memory struct {
	blocks  [workerBlocks]uint64 // the deed whose data each block has; 0: zeros
	saved   uint64
	made    []string
	pending *deed // begun and not acknowledged
}

// done notes that the deed that was begun is acknowledged.
func (m *memory) done() {
	d := *m.pending
	m.pending = nil
	switch d.what {
	case doWrite, doStable, doUpdate, doUnmap:
		for i := range d.n {
			m.blocks[d.from+i] = d.leaves()
		}
	case doSave:
		m.saved = d.sequence
	case doCreate:
		m.made = append(m.made, d.volume())
	}
}

// leaves is what a block shows after the deed.
func (d deed) leaves() uint64 {
	if d.what == doUnmap {
		return 0
	}
	return d.sequence
}

// murder runs a victim, kills it at some moment, and takes down what it said.
func murder(t *testing.T, dir string, round int, all *[workers]memory) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victimDir+"="+dir, fmt.Sprintf("%s=%d", victimRound, round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var killer *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if killer == nil { // it is at work
			killer = time.AfterFunc(time.Duration(rand.IntN(60))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		var word string
		var d deed
		if _, err := fmt.Sscan(line, &word, &d.worker, &d.what, &d.from, &d.n, &d.sequence); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if m := &all[d.worker]; word == "begin" {
			m.pending = &d
		} else {
			m.done()
		}
	}
	_ = cmd.Wait() // it was killed
	if killer == nil {
		t.Fatal("the victim did nothing")
	}
	killer.Stop()
}

// inspect compares what is there with what was acknowledged, and takes note of what
// the deeds that were interrupted have left.
func inspect(t *testing.T, dir string, all *[workers]memory) {
	t.Helper()
	c, err := Open(Config{Path: filepath.Join(dir, "catalog.db")})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := c.Ensure(victimVolume(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := volume.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for worker := range all {
		m := &all[worker]
		m.inspectBlocks(t, worker, v)
		m.inspectCatalog(t, worker, c, dir)
		m.pending = nil
	}
	problems, err := c.Check(dir)
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems { // creations that were begun again are no orphans any more
		if !errors.Is(p, ErrOrphan) || !strings.HasSuffix(p.Error(), ".new") {
			t.Error(p)
		}
	}
	if err := errors.Join(v.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

func (m *memory) inspectBlocks(t *testing.T, worker int, v *volume.Volume) {
	t.Helper()
	content := make([]byte, workerSize)
	if err := v.ReadAt(content, int64(worker*workerSize), volume.MayWait); err != nil {
		t.Fatal(err)
	}
	news := 0 // blocks that the pending deed changed
	for i, was := range m.blocks {
		b := content[i*512 : (i+1)*512]
		shows := binary.BigEndian.Uint64(b)
		if want := block(worker, i, shows); shows != 0 && string(b) != string(want) || shows == 0 && string(b) != string(make([]byte, 512)) {
			t.Fatalf("worker %d, block %d is torn", worker, i)
		}
		d := m.pending
		concerned := d != nil && d.what <= doUnmap && i >= d.from && i < d.from+d.n
		switch {
		case concerned && shows == d.leaves() && shows != was:
			news++
		case shows != was:
			t.Fatalf("worker %d, block %d shows deed %x, want %x, pending %+v", worker, i, shows, was, d)
		}
		m.blocks[i] = shows
	}
	if d := m.pending; d != nil && d.what == doUpdate && news != 0 && news != d.n {
		t.Fatalf("worker %d: %d blocks of an Update of %d", worker, news, d.n)
	}
}

func (m *memory) inspectCatalog(t *testing.T, worker int, c *Catalog, dir string) {
	t.Helper()
	state, err := c.Load(fmt.Sprint("unit", worker))
	if err != nil {
		t.Fatal(err)
	}
	shows := uint64(0)
	if state != nil {
		shows = binary.BigEndian.Uint64(state)
	}
	d := m.pending
	if shows != m.saved && (d == nil || d.what != doSave || shows != d.sequence) {
		t.Fatalf("unit %d has saved %x, want %x, pending %+v", worker, shows, m.saved, d)
	}
	m.saved = shows
	for _, name := range m.made {
		if _, err := c.Volume(name); err != nil {
			t.Error(err)
		}
	}
	if d != nil && d.what == doCreate {
		if _, err := c.Ensure(victimVolume(dir, d.volume())); err != nil {
			t.Error("making it at the second attempt:", err)
		}
	}
}

// TestKill kills a program at work again and again. Since kill -9 leaves the page cache,
// all that was acknowledged must be there, stable or not; what a loss of power
// leaves is volume's TestPowerLoss.
func TestKill(t *testing.T) {
	inMemory, err := os.MkdirTemp(shm, "catalog")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(inMemory); err != nil {
			t.Error(err)
		}
	}()
	for _, dir := range []string{t.TempDir(), inMemory} {
		var all [workers]memory
		for round := range 15 {
			murder(t, dir, round+1, &all)
			inspect(t, dir, &all)
		}
		if all[0].made == nil && all[1].made == nil && all[2].made == nil && all[3].made == nil {
			t.Error("no volume was made: the test has not tested that")
		}
	}
}
