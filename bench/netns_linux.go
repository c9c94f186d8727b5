package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaces are throw-away network namespaces with lo up. Only this process's
// descriptors keep them, and others reach them through /proc: nothing is mounted, so
// they go when the process does, however it ends.
type namespaces struct {
	files []*os.File
}

// newNamespaces makes count namespaces.
func newNamespaces(count int) (*namespaces, error) {
	type result struct {
		files []*os.File
		err   error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: this thread does not come home
		files, err := unshareMany(count)
		done <- result{files, err}
	}()
	r := <-done
	n := &namespaces{r.files}
	if r.err != nil {
		n.close()
		return nil, r.err
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

// writeList writes the paths of the first count namespaces into a file, one a line.
func (n *namespaces) writeList(name string, count int) error {
	var list strings.Builder
	for _, file := range n.files[:count] {
		fmt.Fprintf(&list, "/proc/%d/fd/%d\n", os.Getpid(), file.Fd())
	}
	return os.WriteFile(name, []byte(list.String()), 0o600)
}

// close gives the namespaces up.
func (n *namespaces) close() {
	for _, file := range n.files {
		_ = file.Close()
	}
}
