package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
)

// KeysSuffix makes the name of the directory of keys out of the database's. Each encrypted
// file has its key there, by its ID, away from the data: who backs up or loses a volume's
// file hasn't the key with it. Keys are not in the database because they could not be
// destroyed there.
const KeysSuffix = ".keys"

// config is what opens the volume, with its key.
func (c *Catalog) config(v Volume) volume.Config {
	cfg := v.Config()
	if v.hasKey() {
		cfg.KeyPath = filepath.Join(c.path+KeysSuffix, v.ID.hex())
	}
	return cfg
}

func (v Volume) hasKey() bool { return v.Profile.Encrypted && v.Kind == volume.File }

// check compares a record with its files.
func (c *Catalog) check(v Volume) error {
	if err := v.check(); err != nil || !v.hasKey() {
		return err
	}
	_, err := os.Stat(c.config(v).KeyPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: volume %s: its key: %w", ErrMissing, v.Name, err)
	case err != nil:
		return fmt.Errorf("catalog: volume %s: its key: %w", v.Name, err)
	}
	return nil
}

// mayHaveKey sees that a key can be made for a new volume. A file that is adopted has its own
// already: with another, nobody would ever read it again.
func (c *Catalog) mayHaveKey(v Volume, adopt bool) error {
	if !v.hasKey() {
		return nil
	}
	if _, err := os.Lstat(v.Path); adopt && err == nil {
		return c.check(v)
	}
	err := os.Mkdir(c.path+KeysSuffix, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return syncDir(filepath.Dir(c.path))
}

// syncDir makes the names in a directory stable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
