package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func encrypted(c *Config) { c.Profile.Encrypted = true }

// mustRead returns all that a volume has.
func mustRead(t *testing.T, v *Volume) []byte {
	t.Helper()
	b := make([]byte, v.size.Load())
	if err := v.ReadAt(b, 0, MayWait); err != nil {
		t.Fatal(err)
	}
	return b
}

func mustReadFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCiphertextOnly: what is written is in no file, and the same twice is not the same.
func TestCiphertextOnly(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), encrypted)
	v := mustOpen(t, cfg)
	secret := bytes.Repeat([]byte("sixteen bytes..."), 64) // two blocks
	wantError(t, "WriteAt", v.WriteAt(secret, 0, true, MayWait), nil)
	wantError(t, "Fill", v.Fill(secret[:512], 2048, 2048, false, MayWait), nil)
	wantError(t, "Update", v.Update(8192, 1024, true, MayWait, func(b []byte) error { copy(b, secret); return nil }), nil)
	data, journal := mustReadFile(t, cfg.Path), mustReadFile(t, cfg.Path+JournalSuffix)
	for _, file := range [][]byte{data, journal} {
		if bytes.Contains(file, secret[:16]) {
			t.Error("plaintext on the disk")
		}
	}
	if !bytes.Contains(journal, data[8192:8192+1024]) {
		t.Error("the journal has something else than the data")
	}
	if bytes.Equal(data[:512], data[512:1024]) || bytes.Equal(data[:16], data[16:32]) {
		t.Error("the same plaintext has the same ciphertext in two places")
	}
	if !isZero(data[16384:]) {
		t.Error("what was not written is not zeros")
	}
	want := make([]byte, modelSize)
	copy(want, secret)
	copy(want[2048:], append(secret, secret...))
	copy(want[8192:], secret)
	wantError(t, "Close", v.Close(), nil)
	if got := mustRead(t, mustOpen(t, cfg)); !bytes.Equal(got, want) {
		t.Error("it reads as something else when opened again")
	}
}

// TestOtherKey: without its key a volume is noise where it was written, and zeros elsewhere.
func TestOtherKey(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), encrypted)
	v := mustOpen(t, cfg)
	secret := bytes.Repeat([]byte("sixteen bytes..."), 32)
	wantError(t, "WriteAt", v.WriteAt(secret, 0, true, MayWait), nil)
	wantError(t, "Close", v.Close(), nil)
	right := cfg.KeyPath
	cfg.KeyPath += "2"
	_, err := Open(cfg)
	wantError(t, "Open without a key", err, ErrKey)
	wantError(t, "Open without a key", err, fs.ErrNotExist)
	if err := createKey(cfg.KeyPath, cfg.ID); err != nil {
		t.Fatal(err)
	}
	v = mustOpen(t, cfg)
	got := mustRead(t, v)
	if isZero(got[:512]) || bytes.Contains(got, secret[:16]) || !isZero(got[512:]) {
		t.Error("another key reads the data")
	}
	wantError(t, "Close", v.Close(), nil)

	other := cfg
	other.KeyPath += "3"
	if err := createKey(other.KeyPath, [16]byte{2}); err != nil {
		t.Fatal(err)
	}
	_, err = Open(other)
	wantError(t, "Open with the key of another volume", err, ErrKey)
	if err := os.WriteFile(other.KeyPath, make([]byte, keyFileSize), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(other)
	wantError(t, "Open with a key that was destroyed", err, ErrKey)
	if err := os.Truncate(other.KeyPath, 100); err != nil {
		t.Fatal(err)
	}
	_, err = Open(other)
	wantError(t, "Open with half a key", err, ErrTruncated)

	cfg.KeyPath = right
	if got := mustRead(t, mustOpen(t, cfg)); !bytes.Equal(got[:512], secret) {
		t.Error("the right key does not read the data")
	}
}

// TestTornBlock: of a block that a disk tore at a sector, each sector is of before or after.
func TestTornBlock(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), func(c *Config) { encrypted(c); c.BlockSize, c.Blocks = 4096, 2 })
	v := mustOpen(t, cfg)
	before := mustReadFile(t, cfg.Path)
	for _, with := range []byte{1, 2} {
		wantError(t, "WriteAt", v.WriteAt(bytes.Repeat([]byte{with}, 4096), 0, true, MayWait), nil)
		after := mustReadFile(t, cfg.Path)
		torn := append(bytes.Clone(after[:512]), before[512:]...)
		if err := os.WriteFile(cfg.Path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Repeat([]byte{with}, 512), bytes.Repeat([]byte{with - 1}, 4096-512)...)
		if got := mustRead(t, v)[:4096]; !bytes.Equal(got, want) {
			t.Errorf("half of %d over %d is neither", with, with-1)
		}
		if err := os.WriteFile(cfg.Path, after, 0o600); err != nil {
			t.Fatal(err)
		}
		before = after
	}
}

func TestErase(t *testing.T) {
	dir := t.TempDir()
	memory := Config{Kind: Memory, Blocks: 300, Profile: Profile{Thin: true, Encrypted: true}}
	for _, cfg := range []Config{
		memory,
		fileIn(t, t.TempDir(), encrypted),
		fileIn(t, inShm(t), encrypted),
		fileIn(t, dir, func(c *Config) { c.Profile = Profile{Encrypted: true} }),
	} {
		v := mustOpen(t, cfg)
		tags := bytes.Repeat([]byte{7}, modelSize)
		wantError(t, "WriteAt", v.WriteAt(tags, 0, false, MayWait), nil)
		wantError(t, "Update", v.Update(0, 512, false, MayWait, func([]byte) error { return nil }), nil)
		old := v.medium.(*crypt).keys.now.key
		for range 2 {
			wantError(t, "Erase", v.Erase(), nil)
			if !isZero(mustRead(t, v)) {
				t.Error("it has data")
			}
		}
		if mapped, n, err := v.Status(0, MayWait); err != nil || cfg.Profile.Thin && (mapped || n < modelSize-4096) { // the end is part of a page
			t.Error("it is mapped:", mapped, n, err)
		}
		wantError(t, "WriteAt", v.WriteAt(tags, 0, true, MayWait), nil)
		if v.medium.(*crypt).keys.now.key == old {
			t.Error("it has the key that it had")
		}
		wantError(t, "Close", v.Close(), nil)
		if cfg.Kind == Memory {
			continue
		}
		if bytes.Contains(mustReadFile(t, cfg.KeyPath), old[:8]) {
			t.Error("the old key is in the file")
		}
		if got := mustRead(t, mustOpen(t, cfg)); !bytes.Equal(got, tags) {
			t.Error("what was written afterwards is not there")
		}
	}

	v := mustOpen(t, Config{Kind: Memory, Blocks: 300})
	wantError(t, "Erase of a plain volume", v.Erase(), ErrPlain)
	memory.Profile.ReadOnly = true
	v = mustOpen(t, memory)
	wantError(t, "Erase of a read-only volume", v.Erase(), ErrReadOnly)
	wantError(t, "Close", v.Close(), nil)
	memory.Profile.ReadOnly = false
	v = mustOpen(t, memory)
	wantError(t, "Close", v.Close(), nil)
	wantError(t, "Erase of a closed volume", v.Erase(), ErrClosed)
	_, err := Open(Config{Kind: Null, Blocks: 8, Profile: Profile{Encrypted: true}})
	wantError(t, "Open", err, ErrConfig)
	_, err = Open(Config{Kind: File, Path: filepath.Join(dir, "a.img"), Blocks: 8, Profile: Profile{Encrypted: true}})
	wantError(t, "Open", err, ErrConfig)
}

// TestEraseWithoutKeyFile: a new key in a file without a name would be gone with the process,
// and with it all that is written afterwards.
func TestEraseWithoutKeyFile(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), encrypted)
	v := mustOpen(t, cfg)
	if err := os.Remove(cfg.KeyPath); err != nil {
		t.Fatal(err)
	}
	wantError(t, "Erase", v.Erase(), ErrDeleted)
	p := make([]byte, 512)
	wantError(t, "ReadAt", v.ReadAt(p, 0, MayWait), ErrDeleted)
	wantError(t, "WriteAt", v.WriteAt(p, 0, false, MayWait), ErrDeleted)
	wantError(t, "Update", v.Update(0, 512, false, MayWait, nil), ErrDeleted)
}

// TestEncryptedReadOnly: one that may not be written can be read, and is not changed.
func TestEncryptedReadOnly(t *testing.T) {
	cfg := fileIn(t, t.TempDir(), encrypted)
	v := mustOpen(t, cfg)
	tags := bytes.Repeat([]byte{7}, modelSize)
	wantError(t, "WriteAt", v.WriteAt(tags, 0, false, MayWait), nil)
	wantError(t, "Close", v.Close(), nil)
	data, key := mustReadFile(t, cfg.Path), mustReadFile(t, cfg.KeyPath)
	cfg.Profile.ReadOnly = true
	v = mustOpen(t, cfg)
	if !bytes.Equal(mustRead(t, v), tags) {
		t.Error("it reads as something else")
	}
	wantError(t, "WriteAt", v.WriteAt(tags, 0, false, MayWait), ErrReadOnly)
	wantError(t, "Erase", v.Erase(), ErrReadOnly)
	wantError(t, "Close", v.Close(), nil)
	if !bytes.Equal(mustReadFile(t, cfg.Path), data) || !bytes.Equal(mustReadFile(t, cfg.KeyPath), key) {
		t.Error("a file has changed")
	}
}

// TestPowerLossInErase cuts the power before each call of an Erase to a disk, once more while
// it is completed, and has each call fail: whoever opens the volume finds all of its data or
// none, and when Erase has said that it is done, none and no old key anywhere.
func TestPowerLossInErase(t *testing.T) {
	for failAt := range 20 {
		random := rand.New(rand.NewPCG(uint64(failAt), 6))
		m := &machine{}
		m.data = newSim(m, make([]byte, simSize))
		m.encrypt()
		v, err := m.boot()
		if err != nil {
			t.Fatal(err)
		}
		tags := bytes.Repeat([]byte{7}, simSize)
		wantError(t, "WriteAt", v.WriteAt(tags, 0, true, MayWait), nil)
		for range 2 { // there are records to be replayed
			wantError(t, "Update", v.Update(sector, 2*sector, true, MayWait, func([]byte) error { return nil }), nil)
		}
		old := v.medium.(*crypt).keys.now.key
		erased := false
		judge := func(after *machine, when string) {
			b, err := after.content()
			switch {
			case err != nil:
				t.Fatalf("call %d fails, power lost %s: %v", failAt, when, err)
			case bytes.Equal(b, tags) && !erased:
			case !isZero(b):
				t.Fatalf("call %d fails, power lost %s: neither all of the data nor none", failAt, when)
			case bytes.Contains(after.keys.now, old[:]):
				t.Fatalf("call %d fails, power lost %s: the old key is there", failAt, when)
			}
		}
		m.look = func() {
			if isZero(m.data.now) && bytes.Contains(m.keys.synced, old[:]) {
				t.Fatal("the data is unmapped before the old key is destroyed")
			}
			m.outcomesOf(random, func(after *machine) {
				if failAt == 0 && random.IntN(4) == 0 {
					after.look = func() {
						after.outcomesOf(random, func(again *machine) { judge(again, "again") })
					}
				}
				judge(after, "once")
			})
		}
		m.calls, m.failAt = 0, failAt
		err = v.Erase()
		if failAt > 0 && m.calls >= failAt {
			wantError(t, fmt.Sprint("Erase, whose call ", failAt, " fails"), err, ErrMedium)
			wantError(t, "ReadAt", v.ReadAt(make([]byte, sector), 0, MayWait), ErrMedium)
			m.look()
			if again := v.Erase(); again != nil && !errors.Is(again, ErrMedium) { // a failed sync of the data is remembered
				t.Error(again)
			} else if erased = again == nil; erased {
				m.look()
			}
			continue
		}
		wantError(t, "Erase", err, nil)
		erased = true
		m.look()
		if failAt == 0 && m.calls < 10 {
			t.Errorf("an Erase of %d calls: what has been tested?", m.calls)
		}
	}
}

// FuzzKeyring: whatever the file of a key has, there is one key afterwards or none.
func FuzzKeyring(f *testing.F) {
	id := [16]byte{7}
	first, next := keyEntry{generation: 1, key: newKey()}, keyEntry{generation: 2, erasing: true, key: newKey()}
	f.Add(append(first.slotOf(id), next.slotOf(id)...))
	f.Add(append(make([]byte, keySlot), first.slotOf(id)...))
	f.Add(append(first.slotOf([16]byte{8}), make([]byte, keySlot)...))
	f.Fuzz(func(t *testing.T, p []byte) {
		d := newSim(&machine{}, append(p, make([]byte, keyFileSize)...)[:keyFileSize])
		k, err := openKeyring(d, id)
		if err != nil {
			wantError(t, "openKeyring", err, ErrKey)
			return
		}
		again, err := openKeyring(d, id)
		if err != nil || again.now != k.now || again.slot != k.slot {
			t.Fatal("another key the second time:", err)
		}
		before := k.now.key
		wantError(t, "put", k.put(false, newKey()), nil)
		wantError(t, "put", k.put(false, k.now.key), nil)
		if again, err = openKeyring(d, id); err != nil || again.now != k.now || bytes.Contains(d.synced, before[:]) {
			t.Fatal("another key than was put, or the one before it:", err)
		}
	})
}

// TestReadWhileWritten: a read beside a write waits for it. Of a sector that is half written
// it would get what the mixture of two ciphertexts decrypts to, which nobody wrote.
func TestReadWhileWritten(t *testing.T) {
	m := &machine{}
	m.data = newSim(m, make([]byte, simSize))
	m.encrypt()
	v, err := m.boot()
	if err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{1}, sector)
	for what, write := range map[string]func() error{
		"WriteAt": func() error { return v.WriteAt(p, 0, false, MayWait) },
		"Fill":    func() error { return v.Fill(p, 0, sector, false, MayWait) },
		"Unmap":   func() error { return v.Unmap(0, sector, MayWait) },
	} {
		looked := false
		m.look = func() {
			looked = true
			wantError(t, "ReadAt during "+what, v.ReadAt(make([]byte, sector), 0, DontWait), ErrWait)
		}
		wantError(t, what, write(), nil)
		m.look = nil
		wantError(t, "ReadAt after "+what, v.ReadAt(make([]byte, sector), 0, DontWait), nil)
		if !looked {
			t.Error(what, "did not get to the disk")
		}
	}
}
