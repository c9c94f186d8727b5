package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// modelSize is a little over two chunks of memory, in blocks of 512 bytes.
const modelSize = 300 * 512

// model is what a volume is to be: bytes, and which blocks are mapped.
type model struct {
	bytes  [modelSize]byte
	mapped [modelSize / 512]bool
}

func (m *model) write(off int, p []byte) {
	copy(m.bytes[off:], p)
	for i := range len(p) / 512 {
		m.mapped[off/512+i] = true
	}
}

func (m *model) unmap(off, n int) {
	clear(m.bytes[off : off+n])
	clear(m.mapped[off/512 : (off+n)/512])
}

// runOf is how many bytes from off on are as mapped as the block there.
func (m *model) runOf(off int) int {
	end := off / 512
	for end < len(m.mapped) && m.mapped[end] == m.mapped[off/512] {
		end++
	}
	return end*512 - off
}

var errRefused = errors.New("refused")

// play runs the operations that script spells on v and on the model, and compares
// what both say. Four bytes are an operation: which, the first block (two bytes),
// and how many. exact: v maps precisely what has been written.
func play(t *testing.T, v *Volume, m *model, script []byte, exact bool) {
	t.Helper()
	got := make([]byte, modelSize)
	for step := 0; len(script) >= 4; step, script = step+1, script[4:] {
		off := int(binary.BigEndian.Uint16(script[1:])) % 300 * 512
		n := min(int(script[3])*512, modelSize-off)
		w := Wait(script[0]&8 != 0)
		durable := script[0]&16 != 0
		data := bytes.Repeat([]byte{byte(step) | 1}, n)
		do := func(f func(Wait) error) {
			t.Helper()
			err := f(w)
			if errors.Is(err, ErrWait) && w == DontWait {
				err = f(MayWait)
			}
			if err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
		}
		switch script[0] % 8 {
		case 0, 1:
			do(func(w Wait) error { return v.WriteAt(data, int64(off), durable, w) })
			m.write(off, data)
		case 2:
			do(func(w Wait) error { return v.Unmap(int64(off), int64(n), w) })
			m.unmap(off, n)
		case 3:
			block := bytes.Repeat([]byte{byte(step) % 4}, 512)
			do(func(w Wait) error { return v.Fill(block, int64(off), int64(n), durable, w) })
			if block[0] == 0 {
				m.unmap(off, n)
			} else {
				m.write(off, bytes.Repeat(block, n/512))
			}
		case 4:
			refuse := script[3]%4 == 0
			f := func(b []byte) error {
				if !bytes.Equal(b, m.bytes[off:off+n]) {
					t.Fatalf("step %d: Update was shown other bytes", step)
				}
				copy(b, data)
				if refuse {
					return errRefused
				}
				return nil
			}
			do(func(w Wait) error {
				err := v.Update(int64(off), n, durable, w, f)
				if refuse && errors.Is(err, errRefused) {
					return nil
				}
				return err
			})
			if !refuse {
				m.write(off, data)
			}
		case 5:
			do(v.Sync)
		case 6:
			do(func(w Wait) error { return v.ReadAt(got[:n], int64(off), w) })
			if !bytes.Equal(got[:n], m.bytes[off:off+n]) {
				t.Fatalf("step %d: %d bytes at %d differ", step, n, off)
			}
		case 7:
			var mapped bool
			var run int64
			do(func(w Wait) (err error) { mapped, run, err = v.Status(int64(off), w); return err })
			switch {
			case exact && (mapped != m.mapped[off/512] || int(run) != m.runOf(off)):
				t.Fatalf("step %d: block %d mapped %v for %d bytes, want %v for %d", step, off/512, mapped, run, m.mapped[off/512], m.runOf(off))
			case !mapped && !isZero(m.bytes[off:off+int(run)]):
				t.Fatalf("step %d: block %d is said to be unmapped for %d bytes, and has data", step, off/512, run)
			}
		}
	}
	if err := v.ReadAt(got, 0, MayWait); err != nil || !bytes.Equal(got, m.bytes[:]) {
		t.Fatalf("the end: %v, or other bytes", err)
	}
}

func mustOpen(t testing.TB, cfg Config) *Volume {
	t.Helper()
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error("Close:", err)
		}
	})
	return v
}

func seeds(f *testing.F) {
	f.Add([]byte{0, 0, 0, 255, 7, 0, 0, 0, 2, 0, 128, 200, 7, 0, 3, 0, 6, 0, 0, 255})
	f.Add([]byte{4, 0, 127, 3, 12, 0, 127, 2, 6, 0, 127, 2, 3, 0, 3, 9, 7, 0, 0, 0, 23, 0, 0, 0})
	f.Add([]byte{7, 0, 200, 0, 0, 0, 64, 1, 7, 0, 64, 0, 7, 0, 0, 0, 2, 0, 64, 1, 7, 0, 63, 1})
}

func FuzzMemory(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, encrypted := range []bool{false, true} {
			v := mustOpen(t, Config{Kind: Memory, Blocks: 300, Profile: Profile{Thin: true, Encrypted: encrypted}})
			play(t, v, new(model), script, true)
		}
	})
}

// fileIn makes the file of a volume with the size of a model in dir.
func fileIn(t testing.TB, dir string, change func(*Config)) Config {
	t.Helper()
	cfg := Config{Name: "a", ID: [16]byte{1}, Kind: File, Path: filepath.Join(dir, "a.img"), Blocks: 300, Profile: Profile{Thin: true}}
	if change != nil {
		change(&cfg)
	}
	if cfg.Profile.Encrypted {
		cfg.KeyPath = filepath.Join(dir, "a.key")
	}
	if err := Create(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// inShm makes a directory on tmpfs.
func inShm(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "volume")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func FuzzFile(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, dir := range []string{t.TempDir(), inShm(t)} {
			for _, profile := range []Profile{{Thin: true}, {}, {Thin: true, Encrypted: true}, {Encrypted: true}} {
				cfg := fileIn(t, dir, func(c *Config) { c.Profile = profile })
				v := mustOpen(t, cfg)
				m := new(model)
				half := len(script) / 8 * 4
				play(t, v, m, script[:half], false)
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				v = mustOpen(t, cfg)
				play(t, v, m, script[half:], false)
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				_ = os.Remove(cfg.Path)
				_ = os.Remove(cfg.Path + JournalSuffix)
				_ = os.Remove(cfg.KeyPath)
			}
		}
	})
}
