package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Namespaces are throw-away network namespaces with lo up. Only this process's
// descriptors keep them, and others reach them through /proc: nothing is mounted, so
// they go when the process does, however it ends.
type Namespaces struct {
	files []*os.File
}

// NewNamespaces makes count namespaces: unshare(2). It needs CAP_SYS_ADMIN, and some
// milliseconds for each.
func NewNamespaces(count int) (*Namespaces, error) {
	n := &Namespaces{}
	var err error
	runErr := nsctx.RunLocked(func(t *nsctx.Thread) {
		n.files, err = unshareMany(count)
		t.Forget() // it has not seen where the thread went
	})
	if err := errors.Join(runErr, err); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// unshareMany moves the calling thread from one new namespace to the next.
func unshareMany(count int) ([]*os.File, error) {
	var files []*os.File
	for range count {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return files, fmt.Errorf("%w (root or CAP_SYS_ADMIN is needed)", os.NewSyscallError("unshare", err))
		}
		if err := loopbackUp(); err != nil {
			return files, err
		}
		file, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// loopbackUp sets lo up in the calling thread's namespace: SIOCSIFFLAGS, netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("ioctl", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

// Len is how many there are.
func (n *Namespaces) Len() int { return len(n.files) }

// Path is where other processes find the i-th, for as long as this one holds it.
func (n *Namespaces) Path(i int) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD(i))
}

// FD is this process's descriptor of the i-th. It is valid until Close.
func (n *Namespaces) FD(i int) int { return int(n.files[i].Fd()) }

// WriteList writes the paths of the first count namespaces into a file, one a line.
func (n *Namespaces) WriteList(name string, count int) error {
	var list strings.Builder
	for i := range count {
		fmt.Fprintln(&list, n.Path(i))
	}
	return os.WriteFile(name, []byte(list.String()), 0o600)
}

// Close gives the namespaces up. The kernel takes them down when nothing else holds
// them, which it goes on doing after Close has returned.
func (n *Namespaces) Close() {
	for _, file := range n.files {
		_ = file.Close()
	}
	n.files = nil
}
