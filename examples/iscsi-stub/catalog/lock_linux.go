package catalog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openVerified opens the database with bbolt's own lock, flock(2), which bbolt then
// finds it has, and verifies it.
func openVerified(path string, timeout time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if err := lockAndVerify(f, timeout); err != nil {
		_ = f.Close() // the error says more
		return nil, err
	}
	return f, nil
}

func lockAndVerify(f *os.File, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("catalog: %s: %w", f.Name(), os.NewSyscallError("flock", err))
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: %s", ErrLocked, f.Name())
		}
	}
	database, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := verify(database); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name(), err)
	}
	return nil
}

// isFull reports whether there was no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
