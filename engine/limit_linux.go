package engine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// raiseDescriptorLimit raises the soft limit of open files to the hard one,
// and both to the system's (fs.nr_open) where that is allowed: getrlimit(2).
// It returns the limit in force.
func raiseDescriptorLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	if limit.Cur < limit.Max {
		raised := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return limit.Cur, nil
}

// describeDescriptors turns a lack of descriptors into an error that says how
// many there are.
func describeDescriptors(err error) error {
	if !outOfDescriptors(err) {
		return err
	}
	var limit unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return fmt.Errorf("%w: the limit is %d (RLIMIT_NOFILE; hard %d): %w", ErrDescriptors, limit.Cur, limit.Max, err)
}
