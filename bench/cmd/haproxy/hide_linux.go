package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// hide moves the calling thread into a mount namespace of its own, in which /run is a
// tmpfs with the network namespaces at paths below netns, and returns that /run:
// unshare(2), mount(2).
func hide(paths []string) (string, error) {
	files, err := openAll(paths) // some may be below the /run that vanishes
	if err != nil {
		return "", err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return "", os.NewSyscallError("unshare", err)
	}
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE); err != nil {
		return "", err
	}
	run, err := filepath.EvalSymlinks("/var/run") // where HAProxy looks
	if err != nil {
		return "", err
	}
	if err := mount("none", run, "tmpfs", 0); err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(run, "netns"), 0o755); err != nil {
		return "", err
	}
	return run, bindAll(run, files)
}

func openAll(paths []string) ([]*os.File, error) {
	var files []*os.File
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// bindAll gives the open namespaces their names, and closes them.
func bindAll(run string, files []*os.File) error {
	for i, file := range files {
		target := bound(run, i)
		if err := os.WriteFile(target, nil, 0o600); err != nil {
			return err
		}
		if err := mount(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), target, "", unix.MS_BIND); err != nil {
			return err
		}
		file.Close()
	}
	return nil
}

// bound is where the i-th namespace is to be found.
func bound(run string, i int) string { return filepath.Join(run, "netns", name(i)) }

func mount(source, target, kind string, flags uintptr) error {
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("%s: %w", target, os.NewSyscallError("mount", err))
	}
	return nil
}

// listening reports whether something listens on an IPv4 port of the namespace at path.
// It asks the namespace's /proc/net/tcp, proc_pid_net(5), so that the server sees no
// connection before the load's.
func listening(path string, port int) (found bool, err error) {
	ns, err := os.Open(path) // seen by this thread only
	if err != nil {
		return false, err
	}
	defer ns.Close()
	err = serve.In(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), func() error {
		table, err := os.Open("/proc/thread-self/net/tcp")
		if err != nil {
			return err
		}
		defer table.Close()
		for lines := bufio.NewScanner(table); lines.Scan() && !found; {
			found = isListener(lines.Text(), port)
		}
		return nil
	})
	return found, err
}

// isListener reports whether a line of /proc/net/tcp is of a listener on port.
func isListener(line string, port int) bool {
	const stateListen = "0A"
	fields := strings.Fields(line)
	return len(fields) > 3 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) && fields[3] == stateListen
}

// dieWithParent has the kernel kill HAProxy when the thread that forks it ends:
// PR_SET_PDEATHSIG, prctl(2).
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

func terminate(process *os.Process) error { return process.Signal(syscall.SIGTERM) }
