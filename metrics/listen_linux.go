package metrics

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Why Listen refuses an address.
var (
	// ErrBadAddress is an address that is neither host:port nor unix:/path.
	ErrBadAddress = errors.New("neither a loopback host:port nor unix:/path")
	// ErrNotLoopback is an address that other machines, or other namespaces,
	// could reach.
	ErrNotLoopback = errors.New("not a loopback address: the endpoint shows all namespaces and has no password")
	// ErrNotSocket is a path at which there is a file that is not a socket.
	ErrNotSocket = errors.New("a file that is not a socket is in the way")
	// ErrSocketInUse is a path at which somebody listens, or may listen.
	ErrSocketInUse = errors.New("the socket there is, or may be, in use")
)

// ListenError is an address that Listen can't listen on.
type ListenError struct {
	Addr string // as it was given
	Err  error  // one of the package's errors, or a system call's
}

// Error names the address and the cause.
func (e *ListenError) Error() string { return fmt.Sprintf("metrics: listen %q: %v", e.Addr, e.Err) }

// Unwrap is the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen listens where an operator's tools on this machine, and nobody else,
// can connect:
//
//	127.0.0.1:9100   a loopback address, [::1]:9100 likewise; port 0 is any free one
//	localhost:9100   127.0.0.1, or ::1 on a machine without IPv4
//	unix:/run/x      a socket file of mode 0600, removed by Close
//
// The listener is in the namespace that the process started in, wherever the
// caller's thread is. A socket file that nobody listens on any more is
// replaced; any other file is left alone. The error is a *[ListenError].
func Listen(addr string) (net.Listener, error) {
	var ln net.Listener
	listen, err := parse(addr)
	if err == nil {
		ln, err = atHome(listen)
	}
	if err != nil {
		return nil, &ListenError{Addr: addr, Err: err}
	}
	return ln, nil
}

type listenFunc func() (net.Listener, error)

// atHome makes a listener in the home namespace. A socket belongs to the
// namespace of the thread that makes it, and the caller's may be a tenant's,
// whose loopback is not ours.
func atHome(listen listenFunc) (net.Listener, error) {
	home, err := nsctx.Home().Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = home.Close() }()
	var ln net.Listener
	err = home.Do(func() (err error) {
		ln, err = listen()
		return err
	})
	return ln, err
}

// parse says how to listen on an address, if that is allowed.
func parse(addr string) (listenFunc, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		// This excludes abstract addresses, which have no mode.
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("%w: the path is not absolute", ErrBadAddress)
		}
		return func() (net.Listener, error) { return listenUnix(path) }, nil
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%w: port: %w", ErrBadAddress, err)
	}
	// No resolver: its answer could be any address.
	if host == "localhost" {
		return func() (net.Listener, error) { return listenLocalhost(uint16(port)) }, nil
	}
	ip, err := loopback(host)
	if err != nil {
		return nil, err
	}
	return func() (net.Listener, error) { return listenTCP(netip.AddrPortFrom(ip, uint16(port))) }, nil
}

func loopback(host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, fmt.Errorf("no host means every address: %w", ErrNotLoopback)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("names other than localhost are not looked up: %w", ErrNotLoopback)
	}
	if !ip.IsLoopback() {
		return netip.Addr{}, ErrNotLoopback
	}
	return ip, nil
}

// listenLocalhost takes IPv6 only if there is no IPv4. If a port is taken,
// that is an error and not a reason to be somewhere else.
func listenLocalhost(port uint16) (net.Listener, error) {
	ln, err := listenTCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		return listenTCP(netip.AddrPortFrom(netip.IPv6Loopback(), port))
	}
	return ln, err
}

func listenTCP(addr netip.AddrPort) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", addr.String())
}

// listenUnix makes a socket file that only its owner can connect to.
func listenUnix(path string) (net.Listener, error) {
	if err := removeDead(path); err != nil {
		return nil, err
	}
	// bind(2) gives the file the mode that the socket has before, so that
	// there is no moment at which others could connect; chmod(2) after it
	// would leave one, and umask(2) is the whole process's.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return os.NewSyscallError("fchmod", err)
	}}
	ln, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	unix := ln.(*net.UnixListener)
	unix.SetUnlinkOnClose(false) // that would remove whatever is at the path
	file, err := os.Lstat(path)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return &unixListener{UnixListener: unix, path: path, file: file}, nil
}

// probeTimeout is how long the owner of a socket file has to show that it is
// there. The kernel connects at once or not at all, but for a full backlog.
const probeTimeout = time.Second

// removeDead removes a socket file that nobody listens on: one that a process
// has left behind that was killed. It can't tell from that one a socket which
// is bound but does not listen yet.
func removeDead(path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: %s", ErrNotSocket, before.Mode())
	}
	if err := probe(path); !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %w", ErrSocketInUse, err)
	}
	// Another process may have been as fast as we, and be listening by now.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		return fmt.Errorf("%w: the file has just changed", ErrSocketInUse)
	}
	return os.Remove(path)
}

// errAnswered is what a socket says that somebody listens on.
var errAnswered = errors.New("it answered")

func probe(path string) error {
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	if err != nil {
		return err
	}
	_ = conn.Close()
	return errAnswered
}

// unixListener removes its socket file when it is closed, if it still is its
// own.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
}

// Close removes the file before it closes the socket: as long as that is open,
// no other file can have the same inode.
func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.file, now) {
		if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, l.UnixListener.Close())
		}
	}
	return l.UnixListener.Close()
}
