// Package catalog keeps what a target must remember of its volumes: which there are,
// how large, whose, in which file; and what their logical units save (persistent
// reservations, mode pages). All of it lies in one bbolt database, whose transactions
// are on the disk when they return.
//
// The catalog and the files of the volumes are changed in an order that leaves them
// consistent wherever the machine stops: a file is there before its record is, and
// as long as the record says before that says so. Nothing is ever deleted, overwritten
// or made anew that a record or a file speaks for; what does not fit is an error for
// an operator to look at.
package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

var (
	// ErrLocked says that another process has the database open.
	ErrLocked = errors.New("catalog: in use by another process")
	// ErrDamaged says that the database is not what this package wrote. Nothing of it is
	// used and nothing is changed: bring it back from a copy, or move it away and declare
	// the volumes anew (see ErrOrphan); then reservations are lost.
	ErrDamaged = errors.New("catalog: database is damaged")
	// ErrMissing says that a volume is in the catalog and its file is not there.
	ErrMissing = errors.New("catalog: the volume's file is missing")
	// ErrOrphan says that a file with data in it is no volume's. It is neither used nor
	// overwritten: Adopt makes it a volume.
	ErrOrphan = errors.New("catalog: the file belongs to no volume of the catalog")
	// ErrMismatch says that a volume is declared as what it can't become.
	ErrMismatch = errors.New("catalog: the volume is not as declared")
	// ErrClosed says that the catalog is closed.
	ErrClosed = errors.New("catalog: closed")
)

// Config says where the database is.
type Config struct {
	Path    string
	Timeout time.Duration // how long to wait for another process to close it; 0 is a second
}

// Catalog is an open catalog. Its methods may be called by any goroutine; they block.
type Catalog struct {
	path   string
	file   *os.File // bbolt's, to ask for its size
	db     *bbolt.DB
	failed atomic.Pointer[error] // why nothing is written any more

	requests chan request
	quit     chan struct{}
	done     sync.WaitGroup
	closing  sync.Once

	ensuring sync.Mutex
}

var buckets = [][]byte{volumesBucket, unitsBucket}

var (
	volumesBucket = []byte("volumes")
	unitsBucket   = []byte("units")
)

// Open opens the catalog, and makes an empty one where there is none.
func Open(cfg Config) (*Catalog, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if _, err := os.Lstat(cfg.Path); errors.Is(err, fs.ErrNotExist) {
		if err := initialize(cfg.Path); err != nil {
			return nil, fmt.Errorf("catalog: making %s: %w", cfg.Path, err)
		}
	}
	c := &Catalog{path: cfg.Path, requests: make(chan request), quit: make(chan struct{})}
	if err := c.open(cfg.Timeout); err != nil {
		return nil, err
	}
	c.done.Go(c.write)
	return c, nil
}

// open has bbolt open what has been locked and verified here: it panics, or worse, at
// a database that is not what it wrote. There is no moment without the lock between.
func (c *Catalog) open(timeout time.Duration) error {
	err := c.protect(func() (err error) {
		c.db, err = bbolt.Open(c.path, 0o600, &bbolt.Options{Timeout: timeout, OpenFile: func(path string, _ int, _ os.FileMode) (*os.File, error) {
			c.file, err = openVerified(path, timeout)
			return c.file, err
		}})
		return err
	})
	if err == nil {
		err = c.complete()
	}
	if err != nil && c.file != nil {
		_ = c.file.Close() // the error says more; bbolt may have closed it too
	}
	return err
}

// complete looks at every record once, so that damage is found now and not under load.
func (c *Catalog) complete() error {
	err := c.view(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			bucket := tx.Bucket(name)
			if bucket == nil {
				return fmt.Errorf("%w: %s: it has no bucket %q", ErrDamaged, c.path, name)
			}
			if err := bucket.ForEach(func(k, v []byte) error { _, err := c.unseal(k, v); return err }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, c.db.Close())
	}
	return nil
}

// initialize makes an empty catalog, which gets its name when it is complete.
func initialize(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	name := f.Name()
	defer func() { _ = os.Remove(name) }() // it has another name then, or is nothing
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// link(2) and not rename(2): if another process was faster, its catalog stays.
	if err := os.Link(name, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Close closes the catalog. What a Save waits for is still written.
func (c *Catalog) Close() error {
	err := ErrClosed
	c.closing.Do(func() {
		close(c.quit)
		c.done.Wait()
		if err = c.failure(); errors.Is(err, ErrDamaged) {
			return // bbolt stopped half-way, and its locks are not to be had: they go with the process
		}
		err = c.db.Close()
	})
	return err
}

// Save keeps the state of a unit in place of what it had; it is stable when Save returns.
// Saves that wait for the disk at the same time share a transaction.
func (c *Catalog) Save(unit string, state []byte) error {
	return c.put(unitsBucket, unit, state)
}

// Load returns what Save was given last, nil for a unit that was never saved.
func (c *Catalog) Load(unit string) ([]byte, error) {
	return c.get(unitsBucket, unit)
}

// request is a record to be written.
type request struct {
	bucket, key, value []byte
	answer             chan error
}

// batch is the most requests of one transaction.
const batch = 256

func (c *Catalog) put(bucket []byte, key string, value []byte) error {
	if key == "" || len(key) > bbolt.MaxKeySize {
		return fmt.Errorf("catalog: %q can't be a name: it has %d bytes", key, len(key))
	}
	r := request{bucket, []byte(key), seal([]byte(key), value), make(chan error, 1)}
	select {
	case c.requests <- r:
		return <-r.answer
	case <-c.quit:
		return ErrClosed
	}
}

// write is the goroutine that writes.
func (c *Catalog) write() {
	for {
		select {
		case r := <-c.requests:
			all := []request{r}
			for more := true; more && len(all) < batch; {
				select {
				case r := <-c.requests:
					all = append(all, r)
				default:
					more = false
				}
			}
			err := c.commit(all)
			for _, r := range all {
				r.answer <- err
			}
		case <-c.quit:
			return
		}
	}
}

// commit writes all in one transaction. A transaction that finds no room is undone, and
// the next may find some. Any other failure is the last thing that is written: after an
// fsync(2) that failed nobody knows what the disk has, and the next would say that all
// is well.
func (c *Catalog) commit(all []request) error {
	if err := c.failure(); err != nil {
		return err
	}
	err := c.protect(func() error {
		return c.db.Update(func(tx *bbolt.Tx) error {
			if err := c.whole(tx); err != nil {
				return err
			}
			for _, r := range all {
				if err := tx.Bucket(r.bucket).Put(r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("catalog: writing %s: %w", c.path, err)
	if !isFull(err) {
		c.failed.CompareAndSwap(nil, &err)
	}
	return err
}

func (c *Catalog) failure() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *Catalog) get(bucket []byte, key string) (value []byte, err error) {
	select {
	case <-c.quit:
		return nil, ErrClosed
	default:
	}
	err = c.view(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucket).Get([]byte(key))
		if v == nil {
			return nil
		}
		v, err := c.unseal([]byte(key), v)
		value = bytes.Clone(v)
		return err
	})
	return value, err
}

func (c *Catalog) view(f func(*bbolt.Tx) error) error {
	return c.protect(func() error {
		return c.db.View(func(tx *bbolt.Tx) error {
			if err := c.whole(tx); err != nil {
				return err
			}
			return f(tx)
		})
	})
}

// protect runs f, which uses bbolt: a database that somebody cuts short or writes to
// while it is open is ErrDamaged, and not the end of the program (SIGBUS).
func (c *Catalog) protect(f func() error) (err error) {
	if c.db != nil {
		if err := c.intact(); err != nil {
			return err
		}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, c.path, p)
			c.failed.CompareAndSwap(nil, &err)
		}
	}()
	return f()
}

// intact asks for the file before bbolt reads the first pages of its mapping.
func (c *Catalog) intact() error {
	named, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	has, err := c.file.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !os.SameFile(named, has) {
		return fmt.Errorf("%w: %s is another file now", ErrDamaged, c.path)
	}
	return c.atLeast(int64(c.db.Info().PageSize) * 4)
}

// whole asks whether all of a transaction's pages are in the file.
func (c *Catalog) whole(tx *bbolt.Tx) error { return c.atLeast(tx.Size()) }

func (c *Catalog) atLeast(size int64) error {
	info, err := c.file.Stat()
	if err == nil && info.Size() >= size {
		return nil
	}
	return errors.Join(fmt.Errorf("%w: %s has been cut short", ErrDamaged, c.path), err)
}

// seal puts a CRC32C of key and value before the value: bbolt checks its two first
// pages only.
func seal(key, value []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, checksum(key, value)), value...)
}

func (c *Catalog) unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != checksum(key, sealed[4:]) {
		return nil, fmt.Errorf("%w: %s: the checksum of %q does not match", ErrDamaged, c.path, key)
	}
	return sealed[4:], nil
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
