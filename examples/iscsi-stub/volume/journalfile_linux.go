package volume

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// journalFiles keeps a journal in the file of that path.
type journalFiles struct {
	path     string
	readOnly bool // as in openFile
	inMemory bool // tmpfs: nothing is gained by preparing room
}

func (s journalFiles) open() (disk, int64, error) {
	d, err := openFile(s.path, s.readOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	size, err := d.size()
	if err != nil {
		_ = d.close() // the error says more
		return nil, 0, err
	}
	return d, size, nil
}

// make writes all of the journal once, so that a record's fdatasync(2) has only data
// to write: a file's first write to a place has the filesystem write metadata too.
func (s journalFiles) make() (disk, error) {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, failure("open", err)
	}
	d := osFile{f, int(f.Fd())}
	if err := s.fill(d); err != nil {
		_ = os.Remove(s.path) // the error says more
		_ = d.close()
		return nil, err
	}
	return d, nil
}

func (s journalFiles) fill(d osFile) error {
	for off := int64(0); off < journalSize && !s.inMemory; off += int64(len(zeros)) {
		if err := d.writeAt(zeros[:], off); err != nil {
			return err
		}
	}
	if err := d.sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}
