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

// Enter moves the calling goroutine, locked to its thread, into the namespace at path,
// for work that goes on after the namespace is not needed any more: leave brings both
// back. It must be called on the same goroutine; a second time does nothing. If leave
// fails, or is never called, the thread stays locked and ends with the goroutine.
func Enter(path string) (leave func() error, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	if err := enter(path); err != nil {
		home.Close()
		return nil, err
	}
	return func() error {
		if home == nil {
			return nil
		}
		err := os.NewSyscallError("setns", unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
		home.Close()
		home = nil
		if err == nil {
			runtime.UnlockOSThread()
		}
		return err
	}, nil
}

// Stay moves the calling thread into the namespace at path for good. The goroutine must
// be locked to it and must never be unlocked.
func Stay(path string) error { return enter(path) }

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
	limit, err := fileLimit()
	if err != nil {
		return err
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// FileLimit is how many descriptors this process may have: getrlimit(2).
func FileLimit() (int, error) {
	limit, err := fileLimit()
	return int(limit.Cur), err
}

func fileLimit() (limit unix.Rlimit, err error) {
	return limit, os.NewSyscallError("getrlimit", unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
}
