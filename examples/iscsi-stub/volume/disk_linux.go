package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// osFile is a disk that is a file.
type osFile struct {
	f  *os.File // keeps the name, and closes
	fd int
}

// errNoHoles: the filesystem does not do that to a range.
var errNoHoles = errors.New("volume: not supported by the filesystem")

// openFile opens the file of a volume or a journal, for reading only if nothing else
// is allowed and readOnly is what is wanted.
func openFile(path string, readOnly bool) (osFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	writable := true
	if readOnly && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)) {
		f, err = os.Open(path)
		writable = false
	}
	if err != nil {
		return osFile{}, err
	}
	d := osFile{f, int(f.Fd())}
	if err := d.own(writable); err != nil {
		_ = f.Close() // the error says more
		return osFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// own locks the whole file for this open file description (F_OFD_SETLK of fcntl(2)).
// The kernel drops the lock with the descriptor, however the process ends. It is a
// lock of ranges and not flock(2)'s, because those qemu-img and qemu-io honour.
func (d osFile) own(writable bool) error {
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if !writable {
		lock.Type = unix.F_RDLCK // all that a descriptor for reading may take
	}
	err := unix.FcntlFlock(uintptr(d.fd), unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrBusy
	}
	return os.NewSyscallError("fcntl", err)
}

// inMemory reports whether the file is tmpfs's (statfs(2)), where no access waits for a disk.
func (d osFile) inMemory() (bool, error) {
	var st unix.Statfs_t
	err := ignoreEINTR(func() error { return unix.Fstatfs(d.fd, &st) })
	return st.Type == unix.TMPFS_MAGIC, os.NewSyscallError("fstatfs", err)
}

func (d osFile) size() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(d.fd, &st)
	return st.Size, os.NewSyscallError("fstat", err)
}

func (d osFile) readAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pread(d.fd, p, off)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return failure("pread", err)
		case n == 0:
			return ErrTruncated
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// readCached is preadv2(2) with RWF_NOWAIT, which reads the page cache only. What it
// says of the end of the file is left to readAt to find.
func (d osFile) readCached(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(d.fd), uintptr(unsafe.Pointer(&iov)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	if errno != 0 || n < uintptr(len(p)) {
		return ErrWait // or an error that the repetition meets again
	}
	return nil
}

func (d osFile) writeAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(d.fd, p, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return failure("pwrite", err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// writeStable is pwritev2(2) with RWF_DSYNC: fdatasync(2) for the range alone. What
// others have written and nobody synced does not make it wait.
func (d osFile) writeStable(p []byte, off int64) error {
	for len(p) > 0 {
		iov := unix.Iovec{Base: &p[0]}
		iov.SetLen(len(p))
		n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(d.fd), uintptr(unsafe.Pointer(&iov)), 1, uintptr(off), 0, unix.RWF_DSYNC)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return failure("pwritev2", errno)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (d osFile) punch(off, n int64) error {
	return d.allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (d osFile) zero(off, n int64) error {
	return d.allocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (d osFile) reserve(off, n int64) error {
	err := d.allocate(unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, errNoHoles) {
		return nil
	}
	return err
}

func (d osFile) allocate(mode uint32, off, n int64) error {
	err := ignoreEINTR(func() error { return unix.Fallocate(d.fd, mode, off, n) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errNoHoles
	}
	return failure("fallocate", err)
}

func (d osFile) sync() error {
	return failure("fdatasync", ignoreEINTR(func() error { return unix.Fdatasync(d.fd) }))
}

func (d osFile) check(size int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return failure("fstat", err)
	}
	switch {
	case st.Size < size:
		return ErrTruncated
	case st.Nlink == 0:
		return ErrDeleted
	}
	return nil
}

// seek uses lseek(2). The position it moves is nobody's: all else says its offset.
func (d osFile) seek(off, end int64) (data bool, until int64, err error) {
	next, err := unix.Seek(d.fd, off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // a hole up to the end
		return false, end, nil
	case err != nil:
		return false, 0, failure("lseek", err)
	case next > off:
		return false, min(next, end), nil
	}
	next, err = unix.Seek(d.fd, off, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) { // cut off since
		return true, end, nil
	}
	return true, min(next, end), failure("lseek", err)
}

func (d osFile) resize(size int64, thick bool) error {
	if thick {
		err := d.allocate(0, 0, size)
		if errors.Is(err, errNoHoles) {
			return fmt.Errorf("%w: a volume that is not thin needs fallocate(2)", err)
		}
		return err
	}
	return failure("ftruncate", ignoreEINTR(func() error { return unix.Ftruncate(d.fd, size) }))
}

func (d osFile) close() error { return d.f.Close() }

// failure gives a system call's error one of the package's names. What has none is
// the medium's fault too: a disk that answers EUCLEAN, or is suddenly read-only
// (EROFS), has failed.
func failure(call string, err error) error {
	if err == nil {
		return nil
	}
	kind := ErrMedium
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, full) {
			kind = ErrFull
		}
	}
	return fmt.Errorf("%w: %w", kind, os.NewSyscallError(call, err))
}

func ignoreEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// create makes a file that did not exist, with what fill writes, which is there whole or
// not at all whenever the machine stops: it gets its name when it is complete.
func create(path string, fill func(d osFile) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer f.Close()
	d := osFile{f, int(f.Fd())}
	err = fill(d)
	if err == nil {
		err = d.sync()
	}
	if err == nil {
		// Unlike rename(2), this refuses to replace what is there.
		err = os.NewSyscallError("renameat2", unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error says more
		return err
	}
	return syncDir(dir)
}

// createKey makes the file of a key.
func createKey(path string, id [16]byte) error {
	return create(path, func(d osFile) error {
		first := keyEntry{key: newKey()}
		if err := d.writeAt(first.slotOf(id), 0); err != nil {
			return err
		}
		return d.writeAt(zeros[:keySlot], keySlot)
	})
}

// syncDir makes the names in a directory stable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return failure("fsync", unix.Fsync(int(f.Fd())))
}
