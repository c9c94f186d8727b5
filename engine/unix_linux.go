package engine

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// listenUnix makes a listening unix stream socket in the thread's namespace: socket(2), bind(2),
// listen(2). What a dead process has left at its path is removed first.
func listenUnix(f *unixFile, mode *fs.FileMode, backlog int) (fd int, err error) {
	if !f.abstract() {
		if err := removeStale(f.path); err != nil {
			return -1, err
		}
	}
	fd, err = unixSocket()
	if err != nil {
		return -1, err
	}
	if err := f.bind(fd, mode); err != nil {
		return -1, closeAfter(fd, err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return -1, closeAfter(fd, errors.Join(os.NewSyscallError("listen", err), f.remove()))
	}
	return fd, nil
}

func unixSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

// bind wraps bind(2), and remembers which file it has made.
func (f *unixFile) bind(fd int, mode *fs.FileMode) error {
	if mode != nil && !f.abstract() {
		// The file gets the socket's own mode less the umask, so that it is at no moment open
		// to more than it shall be.
		if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: f.path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if f.abstract() {
		return nil
	}
	st, err := lstat(f.path)
	if err != nil {
		return err
	}
	f.dev, f.ino = st.Dev, st.Ino
	if mode == nil {
		return nil
	}
	if err := os.Chmod(f.path, mode.Perm()); err != nil {
		return errors.Join(err, f.remove())
	}
	return nil
}

// remove removes the file, if it is still the one that bind(2) made.
func (f *unixFile) remove() error {
	if f.ino == 0 {
		return nil
	}
	return removeFile(f.path, f.dev, f.ino)
}

func removeFile(path string, dev, ino uint64) error {
	st, err := lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (st.Dev != dev || st.Ino != ino) {
		return nil // somebody else has removed it, or put another in its place
	}
	if err != nil {
		return err
	}
	return os.NewSyscallError("unlink", unix.Unlink(path))
}

// removeStale removes a socket's file that nobody listens on, as connect(2) tells. Between
// two processes that do so at once the later may find the earlier's file before
// that listens; who can start twice has to see to it himself.
func removeStale(path string) error {
	st, err := lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return os.NewSyscallError("bind", unix.EEXIST) // not ours to remove
	}
	fd, err := unixSocket()
	if err != nil {
		return err
	}
	defer closeSocket(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); {
	case errors.Is(err, unix.ECONNREFUSED):
		return removeFile(path, st.Dev, st.Ino)
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		return os.NewSyscallError("bind", unix.EADDRINUSE) // it is, by a server that may be busy or of another type
	case errors.Is(err, unix.ENOENT):
		return nil
	default:
		return os.NewSyscallError("connect", err)
	}
}

func lstat(path string) (st unix.Stat_t, err error) {
	if err := unix.Lstat(path, &st); err != nil {
		return st, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st, nil
}

// peerCredentials wraps getsockopt(2) with SO_PEERCRED, unix(7).
func peerCredentials(fd int) (Credentials, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, os.NewSyscallError("getsockopt", err)
	}
	return Credentials{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}, nil
}
