package serve

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// In runs work on a thread of its own inside the namespace at path: setns(2). The
// thread never leaves the namespace: it ends with the goroutine that is locked to it.
func In(path string, work func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not be used again
		if err := enter(path); err != nil {
			result <- err
			return
		}
		result <- work()
	}()
	return <-result
}

// enter moves the calling thread into the namespace at path.
func enter(path string) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%s: %w", path, os.NewSyscallError("setns", err))
	}
	return nil
}

// RaiseFileLimit lifts the soft limit on descriptors to the hard one: setrlimit(2).
// Unlike the Go runtime's own lift at start-up, this one is inherited by children.
func RaiseFileLimit() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}
