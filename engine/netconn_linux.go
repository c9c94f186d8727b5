package engine

import (
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketFile wraps a socket for netConn. It is made blocking, with fcntl(2), or
// os.NewFile would put it into Go's poller, only for it to be taken out again.
func socketFile(fd int) *os.File {
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0) // fails for a closed descriptor only
	return os.NewFile(uintptr(fd), "tcp")
}

// netDefaults are keepAliveOptions as package net has them: it differs in TCP_KEEPCNT.
var netDefaults = keepAliveOptions(15 * time.Second)[:3]

// netConn makes a net.TCPConn of a socket, with a descriptor of its own: package net
// takes no other's. It has the defaults of package net then, so that what differs in
// the engine has to be set again.
func netConn(f *os.File, keepAlive time.Duration) (*net.TCPConn, error) {
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close() // it is not what is wanted
		return nil, ErrNotDetachable
	}
	for _, o := range keepAliveOptions(keepAlive) {
		if slices.Contains(netDefaults, o) {
			continue
		}
		_ = unix.SetsockoptInt(int(f.Fd()), o.level, o.name, o.value) // the listener took them
	}
	return tcp, nil
}

// resetFile closes a socket with a RST.
func resetFile(f *os.File) {
	setReset(int(f.Fd()))
	_ = f.Close()
}

// SyscallConn is that of net.TCPConn. What a detached connection has not consumed or
// not sent is not in its socket yet.
func (c *NetConn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.tcpConn.SyscallConn()
	if err != nil {
		return nil, c.explain("control", err)
	}
	return rawConn{raw}, nil
}

// rawConn hides by what else package os would know a socket of package net, and copy
// from and to it past Read and Write.
type rawConn struct{ syscall.RawConn }

// boundOrphan is setUserTimeout with orphanTimeout, before the close of a
// connection of a draining namespace.
func boundOrphan(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { setUserTimeout(int(fd), orphanTimeout) })
}

// duplicate wraps fcntl(2), F_DUPFD_CLOEXEC.
func duplicate(fd int) (int, error) {
	twin, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return twin, os.NewSyscallError("fcntl", err)
}

// setNonblock makes a socket non-blocking again.
func setNonblock(fd int) { _ = unix.SetNonblock(fd, true) }
