package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// dialUnix makes a unix stream socket in the thread's namespace and connects it:
// socket(2), connect(2), unix(7).
func dialUnix(path string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return connect(fd, &unix.SockaddrUnix{Name: path})
}

// backlogFull reports whether a unix socket's connect(2) failed because the
// peer has too many waiting; nothing says when it hasn't.
func backlogFull(err error) bool { return errors.Is(err, unix.EAGAIN) }

// dialTCP makes a socket in the thread's namespace and starts to connect it:
// socket(2), bind(2), connect(2). That it is writable says that it is connected
// or has failed, which pendingError tells apart.
func dialTCP(local, peer netip.AddrPort, keepAlive, timeout time.Duration) (fd int, err error) {
	family := unix.AF_INET6
	if peer.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := setOptions(fd, connectionOptions(keepAlive, timeout)); err != nil {
		return -1, closeAfter(fd, err)
	}
	if local.IsValid() {
		if err := bindLocal(fd, local); err != nil {
			return -1, closeAfter(fd, err)
		}
	}
	to, err := socketAddress(fd, peer)
	if err != nil {
		return -1, closeAfter(fd, err)
	}
	return connect(fd, to)
}

func connect(fd int, to unix.Sockaddr) (int, error) {
	err := unix.Connect(fd, to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.EINTR) {
		return -1, closeAfter(fd, os.NewSyscallError("connect", err))
	}
	return fd, nil
}

// bindLocal wraps bind(2). With port 0 the kernel chooses one only at connect(2),
// when it may be one that has other connections, to other peers
// (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func bindLocal(fd int, local netip.AddrPort) error {
	if local.Port() == 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	from, err := socketAddress(fd, local)
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", unix.Bind(fd, from))
}

// socketAddress is an address as the kernel takes it. A zone is looked up in the
// namespace of the socket.
func socketAddress(fd int, addr netip.AddrPort) (unix.Sockaddr, error) {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, nil
	}
	zone, err := zoneIndex(fd, addr.Addr().Zone())
	if err != nil {
		return nil, err
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zone}, nil
}

// zoneIndex is an interface's index in the namespace of the socket, wherever the
// thread is: SIOCGIFINDEX, netdevice(7). A number is taken as it is.
func zoneIndex(fd int, zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	request, err := unix.NewIfreq(zone)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, os.NewSyscallError("ioctl", err))
	}
	return request.Uint32(), nil
}

// connectedToItself reports whether a socket is its own peer: connecting to a
// port of one's own that nobody listens on, the kernel may have chosen that very
// port to connect from, and RFC 9293 lets it open from both sides at once.
func connectedToItself(fd int, peer netip.AddrPort) bool {
	local, err := localAddr(fd)
	return err == nil && local.IsValid() && local == peer
}

// errRefused is what connecting to where nobody listens comes to.
const errRefused = unix.ECONNREFUSED

// timedOut reports whether the kernel gave up waiting for the peer.
func timedOut(err error) bool { return errors.Is(err, unix.ETIMEDOUT) }
