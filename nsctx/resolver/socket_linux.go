package resolver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// socket is a UDP or TCP socket of a namespace, to be connected.
type socket struct {
	net.Conn
	raw syscall.RawConn
}

// openSocket makes a socket in the namespace with socket(2), of the server's family. Only
// this needs a thread there, so that one is held for microseconds and not for as
// long as a server takes to answer.
func openSocket(ns *nsctx.Namespace, network string, server netip.Addr) (*socket, error) {
	family, kind := unix.AF_INET6, unix.SOCK_DGRAM
	if server.Is4() {
		family = unix.AF_INET
	}
	if network == tcp {
		kind = unix.SOCK_STREAM
	}
	var fd int
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), network)
	defer f.Close() // FileConn has a duplicate
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return newSocket(conn)
}

func newSocket(conn net.Conn) (*socket, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &socket{conn, raw}, nil
}

// connect wraps connect(2) and waits for its end, until the socket's deadline. It
// acts in the socket's namespace, whichever the thread is in.
func (s *socket) connect(to netip.AddrPort) error {
	started := false
	var failed error
	err := s.raw.Write(func(fd uintptr) (done bool) {
		if !started {
			started = true
			failed = startConnect(int(fd), to)
			return !errors.Is(failed, unix.EINPROGRESS)
		}
		done, failed = connected(int(fd))
		return done
	})
	if err != nil {
		return err
	}
	return failed
}

func startConnect(fd int, to netip.AddrPort) error {
	if to.Addr().Is4() {
		return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}))
	}
	zone, err := zoneIndex(fd, to.Addr().Zone())
	if err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port()), ZoneId: zone}))
}

// connected reports whether a connect under way has ended, and how.
func connected(fd int) (bool, error) {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return true, os.NewSyscallError("getsockopt", err)
	case errno != 0:
		return true, os.NewSyscallError("connect", unix.Errno(errno))
	}
	_, err = unix.Getpeername(fd)
	if errors.Is(err, unix.ENOTCONN) {
		return false, nil // writability was not for the connection
	}
	return true, os.NewSyscallError("getpeername", err)
}

// zoneIndex returns the number of an interface of the socket's namespace, as
// SIOCGIFINDEX in netdevice(7) does. Package net would look it up where the thread is and
// remember it for all namespaces.
func zoneIndex(fd int, zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	request, err := unix.NewIfreq(zone)
	if err != nil {
		return 0, os.NewSyscallError("interface "+zone, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, os.NewSyscallError("interface "+zone, err)
	}
	return request.Uint32(), nil
}
