package cmd

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// reexec runs the tests again as root of a user namespace of their own if they lack
// CAP_SYS_ADMIN, which namespaces and mounts need: user_namespaces(7). If it did, they
// have ended with code.
func reexec() (done bool, code int, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, 0, os.NewSyscallError("capget", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return false, 0, nil
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return true, exit.ExitCode(), nil
	} else if err != nil {
		return false, 0, err
	}
	return true, 0, nil
}
