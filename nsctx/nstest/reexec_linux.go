package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// childEnv marks the process that Reexec has started.
const childEnv = "NSTEST_REEXEC"

// Reexec runs the program again in new user, mount and network namespaces, as
// their root, if it lacks CAP_SYS_ADMIN. Call it first thing in main, or use Main
// for tests. If done, the program has run to its end in there and the caller should
// exit with exitCode; if not, the caller has the capability and goes on. In
// there, /run is a new tmpfs, mounts do not propagate, and the loopback is up.
func Reexec() (done bool, exitCode int, err error) {
	if os.Getenv(childEnv) != "" {
		if err := os.Unsetenv(childEnv); err != nil {
			return false, 1, err
		}
		return false, 0, furnish()
	}
	able, err := hasSysAdmin()
	if err != nil || able {
		return false, 0, err
	}
	exitCode, err = runChild()
	return true, exitCode, err
}

// furnish makes a new mount and network namespace usable.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("nstest: make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("nstest: mount tmpfs on /run: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("nstest: %w", err)
	}
	return nil
}

func hasSysAdmin() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, os.NewSyscallError("capget", err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0, nil
}

// runChild returns the exit code, as a shell would for a child that a signal ended.
func runChild() (int, error) {
	exe, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = childAttr()

	// Pdeathsig counts from the end of the thread, not of the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 1, forbidden(err)
	}
	defer forward(signals, cmd.Process)()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, err
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
		Pdeathsig:                  syscall.SIGKILL,
		// In a group of its own it gets a terminal's signals once, from here.
		Setpgid: true,
	}
}

// forwarded are the signals that a user or `go test` sends.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// forward passes signals on until its result is called.
func forward(signals <-chan os.Signal, child *os.Process) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-signals:
				_ = child.Signal(s)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// forbidden adds what the system's settings say, since clone(2)'s errno says little.
func forbidden(err error) error {
	var settings []string
	for _, name := range []string{
		"user/max_user_namespaces", "user/max_net_namespaces",
		"kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns",
	} {
		if value, readErr := os.ReadFile("/proc/sys/" + name); readErr == nil {
			settings = append(settings, strings.ReplaceAll(name, "/", ".")+"="+strings.TrimSpace(string(value)))
		}
	}
	return fmt.Errorf("nstest: without CAP_SYS_ADMIN a user namespace is needed, and cannot be made (%s): %w",
		strings.Join(settings, ", "), err)
}
