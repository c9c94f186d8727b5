package serve

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// In runs work on a thread of its own inside the namespace at path: setns(2).
func In(path string, work func() error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	ns, err := nsctx.ByFD(int(file.Fd())).Open()
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(work)
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
