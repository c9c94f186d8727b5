package nsctx

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// threadNS is the calling thread's namespace; /proc/self/ns/net would be the main
// thread's.
const threadNS = "/proc/thread-self/ns/net"

// setns is the only setns(2) of the module. It does without netns.Set, which tells
// Go's scheduler about the call: for a microsecond that costs more than it gains.
// The caller is locked to its thread and keeps fd from being closed.
func setns(fd int) unix.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_SETNS, uintptr(fd), unix.CLONE_NEWNET, 0)
	return errno
}

func gettid() int {
	tid, _ := unix.RawSyscallNoError(unix.SYS_GETTID, 0, 0, 0)
	return int(tid)
}

func onMainThread() bool { return gettid() == unix.Getpid() }

// offMain starts f on a new goroutine, locked to a thread that is not the main
// one. Unless f unlocks, the thread ends with f.
func offMain(f func()) {
	go func() {
		runtime.LockOSThread()
		if !onMainThread() {
			f()
			return
		}
		// While this goroutine holds the main thread another cannot get it.
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}
