//go:build race || msan || asan

package engine

import (
	"errors"
	"syscall"

	"github.com/nsreactor/nsreactor/internal/simulate"
)

// readSocket wraps read(2) the standard library's way, which tells the
// sanitizers of the bytes that the kernel wrote, and that a reply comes after
// its request.
func readSocket(fd int, p []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Read(p, nil)
	}
	return standard(syscall.Read(fd, p))
}

// writeSocket wraps write(2), as readSocket does.
func writeSocket(fd int, p []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Write(p, nil)
	}
	return standard(syscall.Write(fd, p))
}

func standard(n int, err error) (int, errno) {
	var e syscall.Errno
	if errors.As(err, &e) {
		return 0, e
	}
	return n, 0
}
