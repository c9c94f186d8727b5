package catalog

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// ID is a volume's identity, for life.
type ID [16]byte

// MarshalText writes hexadecimal digits.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("catalog: %q is no volume's ID", text)
	}
	copy(id[:], b)
	return nil
}

// Volume is a volume's record, or the wish for one.
type Volume struct {
	Name      string // unique in the catalog
	Tenant    string
	ID        ID // random, made by Ensure
	Kind      volume.Kind
	Path      string `json:",omitempty"` // of the file, if that is the kind
	BlockSize int
	Blocks    uint64
	Profile   volume.Profile
}

// Config is what opens the volume; one that is encrypted has its key where only a catalog
// knows it.
func (v Volume) Config() volume.Config {
	return volume.Config{Name: v.Name, ID: v.ID, Kind: v.Kind, Path: v.Path, BlockSize: v.BlockSize, Blocks: v.Blocks, Profile: v.Profile}
}

// Volumes returns all volumes of the catalog, in the order of their names.
func (c *Catalog) Volumes() (all []Volume, err error) {
	select {
	case <-c.quit:
		return nil, ErrClosed
	default:
	}
	err = c.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(volumesBucket).ForEach(func(k, sealed []byte) error {
			b, err := c.unseal(k, sealed)
			if err != nil {
				return err
			}
			v, err := c.decode(k, b)
			all = append(all, v)
			return err
		})
	})
	return all, err
}

// Volume returns the record of that name; fs.ErrNotExist if there is none.
func (c *Catalog) Volume(name string) (Volume, error) {
	b, err := c.get(volumesBucket, name)
	if err != nil {
		return Volume{}, err
	}
	if b == nil {
		return Volume{}, fmt.Errorf("catalog: volume %s: %w", name, fs.ErrNotExist)
	}
	return c.decode([]byte(name), b)
}

func (c *Catalog) decode(key, b []byte) (v Volume, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a later program's record is not to be half-understood
	if err := d.Decode(&v); err != nil || v.Name != string(key) {
		return v, fmt.Errorf("%w: %s: the record of volume %q: %w", ErrDamaged, c.path, key, err)
	}
	return v, nil
}

// Ensure returns the Config that opens the volume that want declares (its ID does not
// count). The volume is made, file first, if neither record nor file is there. Whichever
// way it is there, it has to be the same volume: the profile may change, the size may
// grow, anything else is ErrMismatch. See also ErrMissing, ErrOrphan,
// volume.ErrTruncated and, if it has to grow and is in use, volume.ErrBusy: who has it
// open grows it first.
func (c *Catalog) Ensure(want Volume) (volume.Config, error) { return c.ensure(want, false) }

// Adopt is Ensure, except that a file with data that is there already becomes the
// volume's: for an operator whose catalog is lost. It must have at least the size
// declared. An ID that isn't zero is what the volume had, and has again.
func (c *Catalog) Adopt(want Volume) (volume.Config, error) { return c.ensure(want, true) }

func (c *Catalog) ensure(want Volume, adopt bool) (volume.Config, error) {
	c.ensuring.Lock()
	defer c.ensuring.Unlock()
	if want.BlockSize == 0 {
		want.BlockSize = 512
	}
	has, err := c.Volume(want.Name)
	switch {
	case err == nil:
		err = c.change(has, &want)
	case errors.Is(err, fs.ErrNotExist):
		err = c.add(&want, adopt)
	}
	if err != nil {
		return volume.Config{}, err
	}
	return c.config(want), nil
}

// change makes a volume that is there what is wanted of it.
func (c *Catalog) change(has Volume, want *Volume) error {
	want.ID = has.ID
	same := *want
	same.Blocks, same.Profile = has.Blocks, has.Profile
	same.Profile.Encrypted = want.Profile.Encrypted
	if same != has || want.Blocks < has.Blocks {
		return fmt.Errorf("%w: volume %s: the catalog has %s, declared is %s", ErrMismatch, has.Name, has, *want)
	}
	if err := c.check(has); err != nil {
		return err
	}
	if *want == has {
		return nil
	}
	if want.check() != nil { // the file is too short for what is wanted
		if err := c.grow(has, want.Blocks); err != nil {
			return err
		}
	}
	return c.record(*want)
}

func (v Volume) String() string {
	encrypted := ""
	if v.Profile.Encrypted {
		encrypted = "encrypted "
	}
	return encrypted + fmt.Sprintf("%s of tenant %s, %d blocks of %d bytes, %s", strings.TrimSpace(string(v.Kind)+" "+v.Path), v.Tenant, v.Blocks, v.BlockSize, v.ID.hex())
}

func (id ID) hex() string { return hex.EncodeToString(id[:]) }

// check compares a record with its file.
func (v Volume) check() error {
	if v.Kind != volume.File {
		return nil
	}
	info, err := os.Stat(v.Path)
	switch size := v.Blocks * uint64(v.BlockSize); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: volume %s: %w", ErrMissing, v.Name, err)
	case err != nil:
		return fmt.Errorf("catalog: volume %s: %w", v.Name, err)
	case uint64(info.Size()) < size:
		return fmt.Errorf("catalog: volume %s: %w: %s has %d bytes, the volume %d", v.Name, volume.ErrTruncated, v.Path, info.Size(), size)
	}
	return nil
}

func (c *Catalog) grow(has Volume, blocks uint64) error {
	v, err := volume.Open(c.config(has))
	if err != nil {
		return err
	}
	return errors.Join(v.Grow(blocks), v.Close())
}

// add makes a volume: its file, and when that is stable its record. If the machine
// stops between, the next add finds a file that nobody can have written to, and goes on.
func (c *Catalog) add(want *Volume, adopt bool) error {
	isNew := !adopt || want.ID == (ID{})
	if isNew {
		_, _ = rand.Read(want.ID[:]) // never fails
	}
	if err := c.unowned(*want); err != nil {
		return err
	}
	if err := c.mayHaveKey(*want, adopt); err != nil {
		return err
	}
	err := volume.Create(c.config(*want))
	if errors.Is(err, fs.ErrExist) {
		err = c.usable(*want, adopt, err)
	}
	if err != nil {
		if isNew && want.hasKey() {
			_ = os.Remove(c.config(*want).KeyPath) // if it is there, nothing has been encrypted with it
		}
		return err
	}
	return c.record(*want)
}

// unowned refuses a file that another volume has.
func (c *Catalog) unowned(want Volume) error {
	all, err := c.Volumes()
	for _, v := range all {
		if want.Kind == volume.File && filepath.Clean(v.Path) == filepath.Clean(want.Path) {
			return fmt.Errorf("%w: volume %s: %s is the file of volume %s", ErrMismatch, want.Name, want.Path, v.Name)
		}
	}
	return err
}

// usable finds out whether the file that stands in the way of a new volume may be it.
func (c *Catalog) usable(v Volume, adopt bool, exists error) error {
	if err := v.check(); err != nil {
		return err
	}
	if adopt {
		return nil
	}
	_, journalErr := os.Lstat(v.Path + volume.JournalSuffix)
	cfg := c.config(v)
	cfg.Profile.Thin = true // or Status would not look
	opened, err := volume.Open(cfg)
	if err != nil {
		return err
	}
	mapped, n, err := opened.Status(0, volume.MayWait)
	if err := errors.Join(err, opened.Close()); err != nil {
		return err
	}
	if mapped || uint64(n) != v.Blocks*uint64(v.BlockSize) || journalErr == nil {
		return fmt.Errorf("%w: volume %s: %w", ErrOrphan, v.Name, exists)
	}
	return nil
}

func (c *Catalog) record(v Volume) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.put(volumesBucket, v.Name, b)
}

// Check compares the catalog with the files: ErrMissing, volume.ErrTruncated for
// volumes, and ErrOrphan for what else lies in the directories of the volumes and in
// dirs, what a creation that was interrupted left behind (*.new) included. It changes nothing.
func (c *Catalog) Check(dirs ...string) (problems []error, err error) {
	all, err := c.Volumes()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{filepath.Clean(c.path): true}
	look := map[string]bool{}
	for _, dir := range dirs {
		look[filepath.Clean(dir)] = true
	}
	for _, v := range all {
		if v.Kind != volume.File {
			continue
		}
		path := filepath.Clean(v.Path)
		known[path], known[path+volume.JournalSuffix] = true, true
		look[filepath.Dir(path)] = true
		if err := c.check(v); err != nil {
			problems = append(problems, err)
		}
	}
	for dir := range look {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return problems, fmt.Errorf("catalog: %w", err)
		}
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); e.Type().IsRegular() && !known[path] {
				problems = append(problems, fmt.Errorf("%w: %s", ErrOrphan, path))
			}
		}
	}
	return problems, nil
}
