package resolver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// settleTime is how old a modification has to be for the file's time to tell it
// from the next one. Times have the resolution of a timer tick, so that a file that
// was read in the tick in which it was written may be written again unseen.
const settleTime = time.Second

// file is a configuration file, parsed again when it changes.
type file[T any] struct {
	path  string
	limit int64 // how large it may be
	parse func([]byte) (T, error)

	mu      sync.Mutex
	info    fs.FileInfo // of what was parsed; nil if nothing was
	settled bool        // whether info tells the file from the next one
	sum     [sha256.Size]byte
	value   *T
}

// load returns what is in the file, or nil if there is none. The pointer changes
// only when the contents do. It takes one stat(2) if nothing has changed.
func (f *file[T]) load() (*T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.info, f.value = nil, nil
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", f.path) // a FIFO would block
	case f.isSame(info):
		return f.value, nil
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.value, nil
}

func (f *file[T]) isSame(info fs.FileInfo) bool {
	return f.info != nil && f.settled && os.SameFile(f.info, info) &&
		f.info.Size() == info.Size() && f.info.ModTime().Equal(info.ModTime())
}

func (f *file[T]) read() error {
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r, f.limit+1))
	switch {
	case err != nil:
		return err
	case int64(len(data)) > f.limit:
		return fmt.Errorf("%s has more than %d bytes", f.path, f.limit)
	}
	if sum := sha256.Sum256(data); f.value == nil || f.sum != sum {
		value, err := f.parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		f.value, f.sum = &value, sum
	}
	f.info, f.settled = info, time.Since(info.ModTime()) > settleTime
	return nil
}
