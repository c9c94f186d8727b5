package nsctx

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// identify returns the best ID that the kernel gives up to limit. Only a kernel
// that lacks a grade, or refuses it for good, leads to a lesser one: a passing
// lack of descriptors must not, as the ID would not equal an earlier one.
func identify(fd int, limit Grade) (ID, error) {
	return identifyWith(fd, limit, visitCookie)
}

func identifyWith(fd int, limit Grade, cookie func(fd int) (uint64, error)) (ID, error) {
	if limit >= GradeKernelID {
		id, err := kernelID(fd)
		if err == nil || !unsupported(err) {
			return ID{grade: GradeKernelID, id: id}, err
		}
	}
	if limit >= GradeCookie {
		id, err := cookie(fd)
		if err == nil || !unsupported(err) && !errors.Is(err, unix.EPERM) {
			return ID{grade: GradeCookie, id: id}, err
		}
	}
	return paperID(fd)
}

func unsupported(err error) bool {
	return errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOPROTOOPT)
}

// nsGetID is NS_GET_ID. The number is the same on all architectures but those
// with another _IOR, for which x/sys/unix has its own.
const nsGetID = unix.NS_GET_ID

func kernelID(fd int) (uint64, error) {
	var id uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), nsGetID, uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl NS_GET_ID", errno)
	}
	return id, nil
}

// threadCookie returns the cookie of the namespace the calling thread is in. A
// unix socket will do, and exists where IP is switched off.
func threadCookie() (uint64, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	cookie, err := unix.GetsockoptUint64(s, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return cookie, os.NewSyscallError("getsockopt SO_NETNS_COOKIE", err)
}

// visitCookie asks for the cookie on a thread that it moves to the namespace. It
// cannot use Thread, which needs the home namespace identified first.
func visitCookie(fd int) (cookie uint64, err error) {
	done := make(chan struct{})
	offMain(func() {
		defer close(done)
		cookie, err = visitCookieLocked(fd)
	})
	<-done
	return cookie, err
}

// visitCookieLocked leaves the goroutine locked, and so lets its thread die with
// it, unless the thread is back where it was.
func visitCookieLocked(fd int) (uint64, error) {
	back, err := openPath(threadNS)
	if err != nil {
		runtime.UnlockOSThread()
		return 0, err
	}
	defer unix.Close(back)
	if sameFile(fd, back) { // spares a process that may not setns
		defer runtime.UnlockOSThread()
		return threadCookie()
	}
	if errno := setns(fd); errno != 0 {
		runtime.UnlockOSThread()
		return 0, os.NewSyscallError("setns", errno)
	}
	cookie, err := threadCookie()
	if setns(back) == 0 {
		runtime.UnlockOSThread()
	}
	return cookie, err
}

func paperID(fd int) (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return ID{}, os.NewSyscallError("fstat", err)
	}
	dev := uint64(st.Dev) //nolint:unconvert // 32 bits on some architectures
	return ID{grade: GradePaper, id: st.Ino, dev: dev, mtime: st.Mtim.Nano()}, nil
}

// sameFile compares two open files. For two open namespaces that is exact: an
// inode is given again only after its namespace is gone.
func sameFile(a, b int) bool {
	var sa, sb unix.Stat_t
	return unix.Fstat(a, &sa) == nil && unix.Fstat(b, &sb) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}
