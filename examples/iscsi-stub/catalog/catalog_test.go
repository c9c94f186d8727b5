package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

func mustOpen(t testing.TB, path string) *Catalog {
	t.Helper()
	c, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a second Close is ErrClosed
	return c
}

func declared(dir string) Volume {
	return Volume{Name: "blue/disk", Tenant: "blue", Kind: volume.File, Path: filepath.Join(dir, "disk.img"), BlockSize: 512, Blocks: 2048, Profile: volume.Profile{Thin: true}}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// TestSaveLoad: what has been saved is there when the catalog is opened again.
func TestSaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := mustOpen(t, path)
	if b, err := c.Load("a"); b != nil || err != nil {
		t.Errorf("Load of what was never saved: %q, %v", b, err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := c.Save(fmt.Sprint("unit ", i), fmt.Append(nil, "state ", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := c.Save("unit 7", nil); err != nil {
		t.Error(err)
	}
	if c.Save("", nil) == nil {
		t.Error("a unit without a name is saved")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Save("a", nil), ErrClosed)
	_, err := c.Load("a")
	wantError(t, err, ErrClosed)

	c = mustOpen(t, path)
	for i := range 50 {
		want := fmt.Append(nil, "state ", i)
		if i == 7 {
			want = nil
		}
		if b, err := c.Load(fmt.Sprint("unit ", i)); err != nil || !bytes.Equal(b, want) || b == nil {
			t.Errorf("unit %d: %q, %v", i, b, err)
		}
	}
}

// TestLocked: a second process is told who has it, and not let in.
func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	mustOpen(t, path)
	_, err := Open(Config{Path: path, Timeout: time.Millisecond})
	wantError(t, err, ErrLocked)
}

// TestEnsure goes through what a declaration may meet.
func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, filepath.Join(dir, "catalog.db"))
	want := declared(dir)
	cfg, err := c.Ensure(want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Ensure(want)
	if err != nil || again != cfg || cfg.ID == [16]byte{} {
		t.Fatalf("declared again: %v, %+v and %+v", err, cfg, again)
	}

	other := want
	other.BlockSize = 4096
	_, err = c.Ensure(other)
	wantError(t, err, ErrMismatch)
	other = want
	other.Blocks--
	_, err = c.Ensure(other)
	wantError(t, err, ErrMismatch)
	other = want
	other.Name = "red/disk"
	_, err = c.Ensure(other)
	wantError(t, err, ErrMismatch)

	larger := want
	larger.Blocks *= 2
	larger.Profile.ReadOnly = true
	if cfg, err = c.Ensure(larger); err != nil || cfg.Blocks != 4096 || !cfg.Profile.ReadOnly {
		t.Fatal(cfg, err)
	}
	v, err := volume.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}

	if err := os.Truncate(want.Path, 100); err != nil {
		t.Fatal(err)
	}
	_, err = c.Ensure(larger)
	wantError(t, err, volume.ErrTruncated)
	if err := os.Remove(want.Path); err != nil {
		t.Fatal(err)
	}
	_, err = c.Ensure(larger)
	wantError(t, err, ErrMissing)
	if _, err := os.Stat(want.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a missing file was silently made anew")
	}
	memory := Volume{Name: "m", Kind: volume.Memory, Blocks: 8}
	a, err := c.Ensure(memory)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Ensure(memory); err != nil || a.ID != b.ID {
		t.Error("a memory volume has another identity", err)
	}
}

// TestOrphan: a file with data is never taken for a new volume; one that the machine
// stopped at, between file and record, is.
func TestOrphan(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, filepath.Join(dir, "catalog.db"))
	want := declared(dir)
	if err := volume.Create(want.Config()); err != nil { // and then the power fails
		t.Fatal(err)
	}
	cfg, err := c.Ensure(want)
	if err != nil {
		t.Fatal(err)
	}
	v, err := volume.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.WriteAt(make([]byte, 511+1), 512, true, volume.MayWait), v.Close()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.path, c.path+".lost"); err != nil {
		t.Fatal(err)
	}

	c = mustOpen(t, c.path)
	_, err = c.Ensure(want)
	wantError(t, err, ErrOrphan)
	problems, err := c.Check(dir)
	if err != nil || len(problems) != 2 {
		t.Errorf("want the file and the lost catalog: %v, %v", problems, err)
	}
	want.ID = cfg.ID
	if again, err := c.Adopt(want); err != nil || again != cfg {
		t.Errorf("adopted: %v, %+v, want %+v", err, again, cfg)
	}
	if err := os.Truncate(want.Path, 0); err != nil {
		t.Fatal(err)
	}
	problems, err = c.Check()
	if err != nil || len(problems) != 2 || !errors.Is(problems[0], volume.ErrTruncated) {
		t.Errorf("want a volume cut short and the lost catalog: %v, %v", problems, err)
	}
}

// populated makes a database with branches, buckets with pages of their own, free pages.
func populated(t testing.TB, path string) {
	c := mustOpen(t, path)
	for i := range 3 {
		var all sync.WaitGroup
		for unit := range 120 {
			all.Go(func() {
				if err := c.Save(fmt.Sprintf("unit %03d", unit), bytes.Repeat([]byte{byte(i)}, 200+i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if _, err := c.Ensure(Volume{Name: fmt.Sprint("v", i), Kind: volume.Memory, Blocks: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Save("large", make([]byte, 10000)); err != nil { // pages that overflow
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// use does with a damaged database what a target does, and returns its first error.
func use(path string) error {
	c, err := Open(Config{Path: path})
	if err != nil {
		return err
	}
	_, err = c.Volumes()
	_, loadErr := c.Load("unit 060")
	saveErr := c.Save("unit 060", []byte("new"))
	return errors.Join(err, loadErr, saveErr, c.Close())
}

// TestDamaged: whatever is wrong with the file, it is an error and never a panic, a
// fault or wrong content. Every page is hit, in its header, its elements and its data.
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	populated(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := (&verifier{all: good}).newestMeta()
	if err != nil || verify(good) != nil {
		t.Fatal(err, verify(good))
	}
	good = good[:m.end*m.pageSize]
	attempt := func(what string, b []byte, must bool) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		err := use(path)
		if err != nil && !errors.Is(err, ErrDamaged) || err == nil && must {
			t.Errorf("%s: %v, want ErrDamaged", what, err)
		}
	}
	attempt("whole", good, false)
	if err := use(path); err != nil {
		t.Fatal("whole:", err)
	}
	for page := range int(m.end) {
		start := page * int(m.pageSize)
		attempt(fmt.Sprint("cut at page ", page), good[:start], true)
		attempt(fmt.Sprint("cut in page ", page), good[:start+100], true)
		for _, at := range []int{0, 8, 10, 12, 16, 20, 24, 28, 40, 72, int(m.pageSize) - 9} {
			for _, flip := range []byte{1, 0xff} {
				b := bytes.Clone(good)
				b[start+at] ^= flip
				attempt(fmt.Sprintf("page %d, byte %d ^ %d", page, at, flip), b, false)
			}
		}
		b := bytes.Clone(good)
		clear(b[start : start+int(m.pageSize)])
		attempt(fmt.Sprintf("page %d zeroed", page), b, false)
	}
	attempt("empty", nil, true)
	attempt("another file", bytes.Repeat([]byte("hello"), 10000), true)
}

// TestCutWhileOpen: bbolt would read a mapping that has no file under it (SIGBUS).
func TestCutWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	populated(t, path)
	c := mustOpen(t, path)
	if err := os.Truncate(path, 5*4096); err != nil {
		t.Fatal(err)
	}
	_, err := c.Load("unit 060")
	wantError(t, err, ErrDamaged)
	wantError(t, c.Save("unit 060", nil), ErrDamaged)
	wantError(t, c.Save("unit 060", nil), ErrDamaged)
}

// FuzzVerify: what verify lets pass is safe to use.
func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "catalog.db")
	populated(f, path)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	m, err := (&verifier{all: good}).newestMeta()
	if err != nil {
		f.Fatal(err)
	}
	good = good[:m.end*m.pageSize]
	f.Add(uint32(16*4096), []byte{0xff})
	f.Add(uint32(4096*5+16), []byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add(uint32(4096*9+12), []byte{1})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(good)
		copy(b[int(at)%len(b):], patch)
		path := filepath.Join(t.TempDir(), "catalog.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := use(path); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}
