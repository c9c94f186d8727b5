package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hello is what a child sends when it listens.
var hello = []byte("listening")

// socketPair makes a connected pair that keeps message boundaries: socketpair(2). It is
// blocking, and not in Go's own poller.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "core"), os.NewFile(uintptr(fds[1]), "child"), nil
}

// awaitHello waits until a child listens. It may take a while, so the scheduler knows.
func awaitHello(channel *os.File) error {
	buffer := make([]byte, 64)
	n, err := channel.Read(buffer)
	if err != nil || string(buffer[:n]) != string(hello) {
		return fmt.Errorf("it ended before it listened: %w", err)
	}
	return nil
}

// receive receives one message: recv(2), 0 bytes if the other side has gone. A child
// waits in it, and its scheduler has to know: it would look after it for ever.
func receive(fd int, p []byte) (int, error) {
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if e == unix.EINTR {
			continue // a signal of Go's scheduler
		}
		if e != 0 {
			return 0, os.NewSyscallError("recv", e)
		}
		return int(n), nil
	}
}

// send sends one message: send(2), which takes all of it or none.
func send(fd int, p []byte) error {
	for {
		_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if e == unix.EINTR {
			continue // as above
		}
		if e != 0 {
			return os.NewSyscallError("send", e)
		}
		return nil
	}
}

// dieWithParent has the kernel kill a child when the thread that forked it ends:
// PR_SET_PDEATHSIG, prctl(2).
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// takePrecedence has the calling thread run before all that is scheduled ordinarily:
// sched_setattr(2), SCHED_FIFO. Children wait for the core and for nothing else, so one
// that shares its CPU with hundreds of them as their equal is what all of them wait for.
// Without the privilege it goes without.
func takePrecedence() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}
