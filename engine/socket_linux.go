package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/internal/simulate"
)

// errno is a system call's failure; 0 is success.
type errno = unix.Errno

// notReady is the only place that decides that a call would have blocked, or
// was cut short by a signal: the poller will say when to try again.
func notReady(e errno) bool { return e == unix.EAGAIN || e == unix.EINTR }

// accepted is a connection fresh from accept4(2).
type accepted struct {
	fd   int
	peer netip.AddrPort
}

// acceptor is accept4(2) with a buffer for the peer's address, so that a call
// allocates nothing. It belongs to one loop.
type acceptor struct {
	addr unix.RawSockaddrAny
	size uint32
}

// accept wraps accept4(2). The connection comes non-blocking and
// close-on-exec, with the listener's socket options and in the listener's
// namespace, wherever the thread is.
func (a *acceptor) accept(fd int) (accepted, errno) {
	a.size = unix.SizeofSockaddrAny
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&a.addr)),
		uintptr(unsafe.Pointer(&a.size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return accepted{fd: -1}, e
	}
	return accepted{fd: int(n), peer: addrPort(&a.addr)}, 0
}

// addrPort reads a kernel's socket address; IPv4 in IPv6 comes out as IPv4.
func addrPort(raw *unix.RawSockaddrAny) netip.AddrPort {
	switch raw.Addr.Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), networkOrder(&sa.Port))
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(raw))
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 {
			// A number, not a name: names are the namespace's own.
			addr = addr.WithZone(strconv.FormatUint(uint64(sa.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, networkOrder(&sa.Port))
	}
	return netip.AddrPort{}
}

func networkOrder(port *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// localAddr wraps getsockname(2).
func localAddr(fd int) (netip.AddrPort, error) {
	if fd >= simulate.First {
		return simulate.At(fd).LocalAddr()
	}
	var raw unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", e)
	}
	return addrPort(&raw), nil
}

// writeTwo wraps writev(2) with two pieces.
func writeTwo(fd int, a, b []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Write(a, b)
	}
	iov := [2]unix.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	n, _, e := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 2)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// readTwo wraps readv(2) with two pieces.
func readTwo(fd int, a, b []byte) (int, errno) {
	if fd >= simulate.First {
		return simulate.At(fd).Read(a, b)
	}
	iov := [2]unix.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	n, _, e := unix.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 2)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// shutdownWrite wraps shutdown(2) with SHUT_WR: the peer reads an end of file.
func shutdownWrite(fd int) error {
	if fd >= simulate.First {
		return os.NewSyscallError("shutdown", simulate.At(fd).ShutdownWrite())
	}
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
}

// closeSocket wraps close(2).
func closeSocket(fd int) {
	if fd >= simulate.First {
		simulate.Close(fd)
		return
	}
	_ = unix.Close(fd)
}

// setReset makes the socket's close(2) send a RST and forget its data:
// SO_LINGER with a time of 0, socket(7).
func setReset(fd int) {
	if fd >= simulate.First {
		simulate.At(fd).Linger()
		return
	}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// setUserTimeout bounds how long the kernel tries to deliver what is left
// after close(2): TCP_USER_TIMEOUT, tcp(7). Such an orphan keeps its namespace
// alive for 100 s otherwise, if the peer is unreachable.
func setUserTimeout(fd int, d time.Duration) {
	if fd >= simulate.First {
		simulate.At(fd).SetUserTimeout(d)
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds(d))
}

// milliseconds rounds up: 0 would mean the kernel's default.
func milliseconds(d time.Duration) int {
	return int((d + time.Millisecond - 1) / time.Millisecond)
}

// unacknowledged is how many bytes the kernel holds that the peer has not
// acknowledged: ioctl(2), SIOCOUTQ, tcp(7).
func unacknowledged(fd int) int {
	if fd >= simulate.First {
		return simulate.At(fd).Unacknowledged()
	}
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// pendingError takes the socket's error: getsockopt(2), SO_ERROR.
func pendingError(fd int) error {
	if fd >= simulate.First {
		return simulate.At(fd).PendingError()
	}
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if e == 0 {
		return nil
	}
	return unix.Errno(e)
}

// listenSpec is what a listening socket is to be.
type listenSpec struct {
	network   string
	port      int
	backlog   int
	share     bool // join a reuseport group
	keepAlive time.Duration
	timeout   time.Duration // TCP_USER_TIMEOUT
}

// listenTCP makes a listening socket in the thread's namespace: socket(2),
// bind(2), listen(2). It is dual-stack where the namespace has IPv6, and IPv4
// where not. The options that connections inherit are set here, once, instead
// of on every connection.
func listenTCP(spec listenSpec) (fd, port int, err error) {
	fd, family, err := streamSocket()
	if err != nil {
		return -1, 0, err
	}
	if err := setListenOptions(fd, family, spec); err != nil {
		return -1, 0, closeAfter(fd, err)
	}
	var addr unix.Sockaddr = &unix.SockaddrInet6{Port: spec.port}
	if family == unix.AF_INET {
		addr = &unix.SockaddrInet4{Port: spec.port}
	}
	if err := unix.Bind(fd, addr); err != nil {
		return -1, 0, closeAfter(fd, os.NewSyscallError("bind", err))
	}
	if err := unix.Listen(fd, spec.backlog); err != nil {
		return -1, 0, closeAfter(fd, os.NewSyscallError("listen", err))
	}
	local, err := localAddr(fd)
	if err != nil {
		return -1, 0, closeAfter(fd, err)
	}
	return fd, int(local.Port()), nil
}

func streamSocket() (fd, family int, err error) {
	const kind = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err = unix.Socket(unix.AF_INET6, kind, unix.IPPROTO_TCP)
	if err == nil {
		return fd, unix.AF_INET6, nil
	}
	if errors.Is(err, unix.EAFNOSUPPORT) {
		fd, err = unix.Socket(unix.AF_INET, kind, unix.IPPROTO_TCP)
	}
	return fd, unix.AF_INET, os.NewSyscallError("socket", err)
}

func closeAfter(fd int, err error) error {
	closeSocket(fd)
	return err
}

// socketOption is one of setsockopt(2).
type socketOption struct{ level, name, value int }

// keepAliveOptions are those of TCP keepalive, tcp(7); see Config.KeepAlive.
func keepAliveOptions(d time.Duration) []socketOption {
	if d <= 0 {
		return []socketOption{{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0}}
	}
	seconds := max(int(d/time.Second), 1)
	return []socketOption{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 5},
	}
}

func setListenOptions(fd, family int, spec listenSpec) error {
	options := append(connectionOptions(spec.keepAlive, spec.timeout), socketOption{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})
	if family == unix.AF_INET6 {
		options = append(options, socketOption{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0})
	}
	if spec.share {
		options = append(options, socketOption{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	return setOptions(fd, options)
}

// connectionOptions are those of every connection, whoever makes it.
func connectionOptions(keepAlive, timeout time.Duration) []socketOption {
	options := append(keepAliveOptions(keepAlive), socketOption{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1})
	if timeout > 0 {
		options = append(options, socketOption{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds(timeout)})
	}
	return options
}

func setOptions(fd int, options []socketOption) error {
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("option %d of level %d: %w", o.name, o.level, os.NewSyscallError("setsockopt", err))
		}
	}
	return nil
}

// steerByCPU makes the reuseport group of a socket choose by the CPU that a
// handshake comes in on: SO_ATTACH_REUSEPORT_CBPF, socket(7). The i-th socket
// of the group, in the order of their listen(2), is the one for cpus[i]; other
// CPUs are spread over them. A group's program is inherited by its other
// sockets.
func steerByCPU(fd int, cpus []int) error {
	const cpuField = 0xfffff000 + 36 // SKF_AD_OFF + SKF_AD_CPU, linux/filter.h
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: cpuField}}
	for i, cpu := range cpus {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(cpu)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(len(cpus))},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A})
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog))
}

// acceptFailure says what kind of failure an accept4(2) met, and whether it
// will go on until something is freed, so that trying again at once is no use.
// No errno ends a listener.
func acceptFailure(e errno) (kind ErrorKind, exhausted bool) {
	switch e {
	case unix.EMFILE, unix.ENFILE:
		return ErrorAcceptLimit, true
	case unix.ENOBUFS, unix.ENOMEM:
		return ErrorAcceptMemory, true
	case unix.ECONNABORTED, unix.EPROTO:
		return ErrorAcceptAbort, false
	case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EOPNOTSUPP, unix.EFAULT:
		return ErrorAccept, true // should never be; don't spin on it
	}
	// accept(2): on Linux it passes pending network errors of the new socket
	// (ENETDOWN, EHOSTUNREACH …); the next one may be fine.
	return ErrorAccept, false
}

// outOfDescriptors reports whether an error is a lack of descriptors.
func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// noGroup reports whether a listener failed for lack of SO_REUSEPORT or of
// its steering, rather than because of the port.
func noGroup(err error) bool {
	return errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)
}
