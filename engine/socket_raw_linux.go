//go:build !race && !msan && !asan

package engine

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/internal/simulate"
)

// readSocket wraps recv(2), which is read(2) of a socket without the way through
// the file layer. The descriptor is non-blocking, so the scheduler need not
// hear of the call; that saves a third of its cost. Package syscall is called
// itself: x/sys/unix only jumps there, but from assembly, which costs two more
// calls that copy all arguments.
func readSocket(fd int, p []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Read(p, nil)
	}
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// writeSocket wraps send(2).
func writeSocket(fd int, p []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Write(p, nil)
	}
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}
