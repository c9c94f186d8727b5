package volume

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// smallDisk makes a filesystem of so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk: who meets a full disk is told, nothing acknowledged is lost, reads go on,
// and so does everything when there is room again.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "128k")
	cfg := fileIn(t, dir, nil)
	v := mustOpen(t, cfg)
	written := int64(0)
	var err error
	for ; err == nil; written += 4096 {
		if err = v.WriteAt(bytes.Repeat([]byte{7}, 4096), written, false, MayWait); err != nil {
			break
		}
	}
	wantError(t, "WriteAt", err, ErrFull)
	wantError(t, "WriteAt, durable", v.WriteAt(make([]byte, 4096), written, true, MayWait), ErrFull)
	wantError(t, "Update", v.Update(written, 4096, false, MayWait, func([]byte) error { return nil }), ErrFull)
	wantError(t, "Sync", v.Sync(MayWait), nil)
	b := make([]byte, written)
	wantError(t, "ReadAt", v.ReadAt(b, 0, MayWait), nil)
	if len(b) == 0 || len(bytes.Trim(b, "\a")) > 0 {
		t.Error("what was acknowledged is not there")
	}
	wantError(t, "Unmap", v.Unmap(0, 64<<10, MayWait), nil)
	wantError(t, "WriteAt after Unmap", v.WriteAt(make([]byte, 4096), written, false, MayWait), nil)
	wantError(t, "Update after Unmap", v.Update(written, 4096, false, MayWait, func([]byte) error { return nil }), nil)

	other := cfg
	other.Path = filepath.Join(dir, "b.img")
	other.Profile.Thin = false
	wantError(t, "a volume that takes its room at once", Create(other), ErrFull)
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 || err != nil {
		t.Error("left behind:", left, err)
	}
}

// TestTruncated: a file that is cut short under an open volume is found by the first read
// beyond its end, and by the first write of its last byte: that would have made it long
// again.
func TestTruncated(t *testing.T) {
	v, cfg := truncated(t)
	p := bytes.Repeat([]byte{7}, 512)
	wantError(t, "a read beyond", v.ReadAt(p, 16384, MayWait), ErrTruncated)
	wantError(t, "a read of what is left", v.ReadAt(p, 0, MayWait), nil)
	wantError(t, "WriteAt", v.WriteAt(p, modelSize-512, false, MayWait), ErrTruncated)
	if err := os.Truncate(cfg.Path, modelSize); err != nil {
		t.Fatal(err)
	}
	wantError(t, "Sync of a file made long again", v.Sync(MayWait), ErrTruncated)
	wantError(t, "Close", v.Close(), ErrTruncated)
	if err := os.Truncate(cfg.Path, modelSize-1); err != nil {
		t.Fatal(err)
	}
	_, err := Open(cfg)
	wantError(t, "Open", err, ErrTruncated)
}

// TestTruncatedIsFoundInTime: writes that make the file longer again, but not whole, don't
// hide that it was cut from anything that makes data stable, nor for long from each other.
func TestTruncatedIsFoundInTime(t *testing.T) {
	p := bytes.Repeat([]byte{7}, 512)
	for what, f := range map[string]func(*Volume) error{
		"Sync":              func(v *Volume) error { return v.Sync(MayWait) },
		"a durable write":   func(v *Volume) error { return v.WriteAt(p, 0, true, MayWait) },
		"a durable Fill":    func(v *Volume) error { return v.Fill(p, 0, 4096, true, MayWait) },
		"an Update":         func(v *Volume) error { return v.Update(0, 512, false, MayWait, func([]byte) error { return nil }) },
		"the last block":    func(v *Volume) error { return v.WriteAt(p, modelSize-512, false, MayWait) },
		"a Fill to the end": func(v *Volume) error { return v.Fill(p, 0, modelSize, false, MayWait) },
		"Grow":              func(v *Volume) error { return v.Grow(1000) },
		"one write of many": func(v *Volume) (err error) {
			for start := time.Now(); err == nil && time.Since(start) < 30*time.Second; {
				err = v.WriteAt(p, 0, false, MayWait)
			}
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			v, _ := truncated(t)
			if err := v.WriteAt(p, modelSize-1024, false, MayWait); !errors.Is(err, ErrTruncated) {
				wantError(t, "a write beyond", err, nil) // it looked, or it did not
			}
			wantError(t, what, f(v), ErrTruncated)
			wantError(t, "Close", v.Close(), ErrTruncated)
		})
	}
}

// truncated is a volume that was written to, and then its file cut short.
func truncated(t *testing.T) (v *Volume, cfg Config) {
	cfg = fileIn(t, t.TempDir(), nil)
	v = mustOpen(t, cfg)
	wantError(t, "WriteAt", v.WriteAt(bytes.Repeat([]byte{7}, 512), 0, false, MayWait), nil)
	if err := os.Truncate(cfg.Path, 8192); err != nil {
		t.Fatal(err)
	}
	return v, cfg
}

// TestDeleted: what is written to a file without a name would be gone with the process.
func TestDeleted(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), nil)
	v := mustOpen(t, cfg)
	if err := os.Remove(cfg.Path); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 512)
	wantError(t, "WriteAt, durable", v.WriteAt(p, 0, true, MayWait), ErrDeleted)
	wantError(t, "WriteAt", v.WriteAt(p, 0, false, MayWait), ErrDeleted)
	wantError(t, "Sync", v.Sync(MayWait), ErrDeleted)
	wantError(t, "ReadAt", v.ReadAt(p, 0, MayWait), nil)
	wantError(t, "Close", v.Close(), ErrDeleted)
	_, err := Open(cfg)
	wantError(t, "Open", err, fs.ErrNotExist)
}

// TestDeletedJournal: nobody would find what an Update puts into a journal without a name.
func TestDeletedJournal(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), nil)
	v := mustOpen(t, cfg)
	update := func() error { return v.Update(0, 512, false, MayWait, func([]byte) error { return nil }) }
	wantError(t, "Update", update(), nil)
	if err := os.Remove(cfg.Path + JournalSuffix); err != nil {
		t.Fatal(err)
	}
	wantError(t, "Update", update(), ErrDeleted)
	wantError(t, "Close", v.Close(), ErrDeleted)
}

// TestBusy: two cannot serve one file, nor does qemu-io write to one that is served.
func TestBusy(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), nil)
	mustOpen(t, cfg)
	_, err := Open(cfg)
	wantError(t, "Open", err, ErrBusy)
	if _, err := exec.LookPath("qemu-io"); err == nil { // where it is installed
		if out, err := exec.Command("qemu-io", "-f", "raw", "-c", "write 0 512", cfg.Path).CombinedOutput(); err == nil {
			t.Errorf("qemu-io wrote to it: %s", out)
		}
	}
	wantError(t, "Create", Create(cfg), fs.ErrExist)
}

// TestRefused: what is no whole block of the volume, and what may not be changed.
func TestRefused(t *testing.T) {
	for _, kind := range []Kind{Memory, Null} {
		v := mustOpen(t, Config{Kind: kind, Blocks: 8})
		for _, at := range []struct{ off, n int64 }{{1, 512}, {0, 511}, {-512, 512}, {8 * 512, 512}, {512, 8 * 512}, {1 << 62, 512}, {-1 << 63, 512}} {
			p := make([]byte, at.n)
			wantError(t, "ReadAt", v.ReadAt(p, at.off, MayWait), ErrRange)
			wantError(t, "WriteAt", v.WriteAt(p, at.off, false, MayWait), ErrRange)
			wantError(t, "Unmap", v.Unmap(at.off, at.n, MayWait), ErrRange)
			wantError(t, "Unmap", v.Unmap(at.off, 1<<62, MayWait), ErrRange)
			wantError(t, "Update", v.Update(at.off, int(at.n), false, MayWait, nil), ErrRange)
		}
		wantError(t, "Update", v.Update(0, MaxUpdate+512, false, MayWait, nil), ErrRange)
		_, _, err := v.Status(8*512, MayWait)
		wantError(t, "Status", err, ErrRange)
		wantError(t, "Grow", v.Grow(7), ErrRange)
		wantError(t, "Grow", v.Grow(16), nil)
		wantError(t, "ReadAt", v.ReadAt(make([]byte, 512), 15*512, MayWait), nil)
		wantError(t, "Close", v.Close(), nil)
		wantError(t, "ReadAt", v.ReadAt(nil, 0, MayWait), ErrClosed)
		wantError(t, "Sync", v.Sync(MayWait), ErrClosed)
		wantError(t, "Close", v.Close(), ErrClosed)
	}
	v := mustOpen(t, Config{Kind: Memory, Blocks: 8, Profile: Profile{ReadOnly: true}})
	wantError(t, "WriteAt", v.WriteAt(nil, 0, false, MayWait), ErrReadOnly)
	wantError(t, "Fill", v.Fill(make([]byte, 512), 0, 512, false, MayWait), ErrReadOnly)
	wantError(t, "Unmap", v.Unmap(0, 512, MayWait), ErrReadOnly)
	wantError(t, "Update", v.Update(0, 512, false, MayWait, nil), ErrReadOnly)
	for _, cfg := range []Config{{}, {Kind: Memory}, {Kind: "x", Blocks: 1}, {Kind: File, Blocks: 1}, {Kind: Null, Blocks: 1, Path: "x"}, {Kind: Memory, Blocks: 1, BlockSize: 513}, {Kind: Memory, Blocks: 1 << 60}} {
		_, err := Open(cfg)
		wantError(t, "Open", err, ErrConfig)
	}
}

// TestGrowFile: what is new reads as zeros, and is there when the volume is opened again.
func TestGrowFile(t *testing.T) {
	for _, thin := range []bool{true, false} {
		cfg := fileIn(t, t.TempDir(), func(c *Config) { c.Profile.Thin = thin })
		v := mustOpen(t, cfg)
		wantError(t, "Grow", v.Grow(1000), nil)
		wantError(t, "WriteAt", v.WriteAt(make([]byte, 512), 999*512, true, MayWait), nil)
		if v.Blocks() != 1000 {
			t.Error("blocks:", v.Blocks())
		}
		wantError(t, "Close", v.Close(), nil)
		cfg.Blocks = 1000
		v = mustOpen(t, cfg)
		wantError(t, "ReadAt", v.ReadAt(make([]byte, 512), 999*512, MayWait), nil)
	}
}

// TestThinMemory: a terabyte costs nothing until it is written to.
func TestThinMemory(t *testing.T) {
	v := mustOpen(t, Config{Kind: Memory, Blocks: 1 << 31, Profile: Profile{Thin: true}})
	last := int64(1<<40) - 512
	wantError(t, "WriteAt", v.WriteAt(bytes.Repeat([]byte{1}, 512), last, false, DontWait), nil)
	if mapped, n, err := v.Status(0, MayWait); mapped || n != last || err != nil {
		t.Error(mapped, n, err)
	}
	wantError(t, "Unmap", v.Unmap(0, 1<<40, MayWait), nil)
	if mapped, n, err := v.Status(0, MayWait); mapped || n != 1<<40 || err != nil {
		t.Error(mapped, n, err)
	}
}

// TestDontWait: a loop is told to go elsewhere, and never kept.
func TestDontWait(t *testing.T) {
	v := mustOpen(t, Config{Kind: Memory, Blocks: 8})
	p := make([]byte, 512)
	err := v.Update(0, 512, false, MayWait, func([]byte) error {
		wantError(t, "ReadAt", v.ReadAt(p, 0, DontWait), ErrWait)
		wantError(t, "WriteAt", v.WriteAt(p, 0, false, DontWait), ErrWait)
		wantError(t, "Update", v.Update(0, 512, false, DontWait, nil), ErrWait)
		return nil
	})
	wantError(t, "Update", err, nil)

	v = mustOpen(t, fileIn(t, t.TempDir(), nil)) // a disk's filesystem
	wantError(t, "WriteAt", v.WriteAt(p, 0, false, DontWait), ErrWait)
	wantError(t, "Sync", v.Sync(DontWait), ErrWait)
	wantError(t, "Update", v.Update(0, 512, false, DontWait, nil), ErrWait)
	wantError(t, "WriteAt", v.WriteAt(p, 0, false, MayWait), nil)
	wantError(t, "a read of what is cached", v.ReadAt(p, 0, DontWait), nil)

	v = mustOpen(t, fileIn(t, inShm(t), nil))
	wantError(t, "WriteAt", v.WriteAt(p, 0, true, DontWait), nil)
	wantError(t, "Update", v.Update(0, 512, true, DontWait, func([]byte) error { return nil }), nil)
	wantError(t, "Sync", v.Sync(DontWait), nil)
}

// TestReplay: what an Update was killed at is completed by the next Open, unless the
// journal is another volume's.
func TestReplay(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), nil)
	p := bytes.Repeat([]byte{9}, 1024)
	journal := appendRecord(nil, record{1, 512, p}, cfg.ID)
	if err := os.WriteFile(cfg.Path+JournalSuffix, journal, 0o600); err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.ID[0]++
	_, err := Open(other)
	wantError(t, "Open", err, ErrJournal)
	v := mustOpen(t, cfg)
	b := make([]byte, 1024)
	wantError(t, "ReadAt", v.ReadAt(b, 512, MayWait), nil)
	if !bytes.Equal(b, p) {
		t.Error("the record was not replayed")
	}
	wantError(t, "WriteAt", v.WriteAt(make([]byte, 1024), 512, true, MayWait), nil)
	wantError(t, "Close", v.Close(), nil)
	v = mustOpen(t, cfg)
	wantError(t, "ReadAt", v.ReadAt(b, 512, MayWait), nil)
	if !isZero(b) {
		t.Error("the record was replayed twice, over what was written after it")
	}
}

// FuzzJournal: records lie within the volume and the journal, and survive their encoding.
func FuzzJournal(f *testing.F) {
	id := [16]byte{1, 2}
	one := appendRecord(nil, record{5, 512, bytes.Repeat([]byte{3}, 512)}, id)
	f.Add(one)
	f.Add(appendRecord(bytes.Clone(one), record{5, 0, make([]byte, 8192)}, id))
	f.Add(appendRecord(bytes.Clone(one), record{6, 0, make([]byte, 512)}, id))
	f.Add(one[:600])
	f.Fuzz(func(t *testing.T, p []byte) {
		const size = 1 << 20
		records, err := parseJournal(p, id, size)
		if err != nil {
			wantError(t, "parseJournal", err, ErrJournal)
			return
		}
		var again []byte
		for _, r := range records {
			if r.off < 0 || r.off+int64(len(r.bytes)) > size {
				t.Fatal("a record outside of the volume")
			}
			again = appendRecord(again, r, id)
		}
		back, err := parseJournal(again, id, size)
		if err != nil || len(back) != len(records) {
			t.Fatalf("%v: %d records became %d", err, len(records), len(back))
		}
	})
}
