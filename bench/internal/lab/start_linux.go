package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a command that may run on one CPU only, and there goes before other
// processes as far as a nice value makes it; a negative cpu means any. The child
// inherits both from the thread that forks it, so that thread has them for a moment.
// The child is killed if the harness dies; a terminal's Ctrl-C does not reach it.
func Start(cmd *exec.Cmd, cpu, nice int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	niceBefore, err := threadNice()
	if err != nil {
		return err
	}

	only := before
	if cpu >= 0 {
		only.Zero()
		only.Set(cpu)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	err = setThread(&only, nice)
	if err == nil {
		err = cmd.Start()
	}
	if err == nil && nice != niceBefore {
		setSessionNice(cmd.Process.Pid, nice)
	}
	return errors.Join(err, setThread(&before, niceBefore))
}

// setSessionNice does for a process's session what nice does within it. Where the
// kernel groups by session (sched(7), autogroup), a process's own nice value counts
// only against its session; where it does not, the file is missing, and not missed.
func setSessionNice(pid, nice int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(nice)), 0)
}

// setThread sets the calling thread's affinity and nice value: sched_setaffinity(2),
// setpriority(2), which on Linux means a thread by its "process" 0.
func setThread(cpus *unix.CPUSet, nice int) error {
	if err := unix.SchedSetaffinity(0, cpus); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, nice))
}

// threadNice is the calling thread's nice value: getpriority(2), whose bare system call
// returns 20 minus it.
func threadNice() (int, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	return 20 - raw, os.NewSyscallError("getpriority", err)
}

// RaiseOwnNice gives this process the nice value that it is going to start others with,
// so that it is there when they have something to say. It returns the value that is to
// be had: without CAP_SYS_NICE that is not below 0.
func RaiseOwnNice(nice int) (allowed int, err error) {
	if nice >= 0 {
		return nice, nil
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks { // setpriority(2) is a thread's on Linux; new threads inherit it
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		err = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return 0, nil
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, os.NewSyscallError("setpriority", err)
		}
	}
	setSessionNice(os.Getpid(), nice)
	return nice, nil
}

// PinSelf has all threads of this process run on one CPU only, also those that come,
// until the function that it returns is called; a negative cpu means any.
func PinSelf(cpu int) (restore func() error, err error) {
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	restore = func() error { return pinThreads(&before) }
	if cpu < 0 {
		return restore, nil
	}
	only.Set(cpu)
	return restore, pinThreads(&only)
}

// pinThreads looks again until there is no thread that it has not seen: a thread inherits
// what the one has that makes it.
func pinThreads(cpus *unix.CPUSet) error {
	for seen, more := map[string]bool{}, true; more; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		more = false
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil || seen[task.Name()] {
				continue
			}
			seen[task.Name()], more = true, true
			if err := unix.SchedSetaffinity(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return os.NewSyscallError("sched_setaffinity", err)
			}
		}
	}
	return nil
}
