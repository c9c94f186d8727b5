package nsctx

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Open finds the namespace and pins it with a new close-on-exec descriptor. The
// error is an [*Error]; what is not a network namespace is ErrNotNamespace. Any
// goroutine may call it.
func (r Ref) Open() (*Namespace, error) { return r.OpenGrade(gradeBest) }

// OpenGrade is Open with an ID of grade limit at best. IDs of different grades
// are not comparable, so use one limit throughout; it is meant for tests, and
// for a process that shares IDs with another on an older kernel.
func (r Ref) OpenGrade(limit Grade) (*Namespace, error) {
	ns, err := r.open(limit)
	if err != nil {
		return nil, &Error{Op: "open", Namespace: r.String(), Err: err}
	}
	return ns, nil
}

func (r Ref) open(limit Grade) (*Namespace, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	fd, err := r.openFD()
	if err != nil {
		return nil, err
	}
	return adopt(fd, r.Name(), limit)
}

func (r Ref) openFD() (int, error) {
	switch r.kind {
	case refPID:
		return openPID(r.num)
	case refFD:
		return dupFD(r.num)
	case refHome:
		home, err := homeNamespace()
		if err != nil {
			return -1, err
		}
		return dupFD(home.fd)
	default:
		return openPath(r.Path())
	}
}

// adopt makes a Namespace of fd, or closes it.
func adopt(fd int, name string, limit Grade) (*Namespace, error) {
	ns := &Namespace{fd: fd, name: name}
	err := checkNetNS(fd)
	if err == nil {
		ns.id, err = identify(fd, limit)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return ns, nil
}

// openPath opens what may not be a namespace at all: O_NONBLOCK because it may
// be a FIFO, on which netns.GetFromPath would wait for a writer.
func openPath(path string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, os.NewSyscallError("open", err)
		}
	}
}

func dupFD(fd int) (int, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return dup, os.NewSyscallError("fcntl", err)
}

// checkNetNS tells a network namespace from other files and other namespaces.
// netns.GetFromPath and its siblings leave that to the first setns.
func checkNetNS(fd int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if int64(fs.Type) != unix.NSFS_MAGIC { //nolint:unconvert // 32 bits on some architectures
		return fmt.Errorf("file system type %#x: %w", fs.Type, ErrNotNamespace)
	}
	nstype, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		// Not every nsfs file is a namespace's.
		return fmt.Errorf("%w: %w", ErrNotNamespace, os.NewSyscallError("ioctl NS_GET_NSTYPE", err))
	}
	if nstype != unix.CLONE_NEWNET {
		return fmt.Errorf("namespace type %#x: %w", nstype, ErrNotNamespace)
	}
	return nil
}

// openPID opens a process's namespace through a pidfd, which goes on naming the
// process when its number has gone to another.
func openPID(pid int) (int, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.IoctlRetInt(pidfd, pidfdGetNetNamespace)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL): // before Linux 6.11
		return openPIDPath(pidfd, fmt.Sprintf("/proc/%d/ns/net", pid))
	default:
		return -1, os.NewSyscallError("ioctl PIDFD_GET_NET_NAMESPACE", err)
	}
}

// pidfdGetNetNamespace is PIDFD_GET_NET_NAMESPACE, _IO(0xff, 4) of linux/pidfd.h,
// which x/sys/unix lacks.
const pidfdGetNetNamespace = 0xff04

// openPIDPath opens path and asks only then whether the process that pidfd names
// is still there: if so, path was its own all along.
func openPIDPath(pidfd int, path string) (int, error) {
	fd, err := openPath(path)
	if err != nil {
		return -1, err
	}
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil && err != unix.EPERM {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("pidfd_send_signal", err)
	}
	return fd, nil
}
