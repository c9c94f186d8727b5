package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// unitPair is a connected pair of stream sockets.
func unitPair(tb testing.TB) (a, b int) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	unitMust(tb, err)
	tb.Cleanup(func() { closeSocket(fds[0]) })
	return fds[0], fds[1]
}

func unitListen(tb testing.TB, spec listenSpec) (fd, port int) {
	tb.Helper()
	if spec.backlog == 0 {
		spec.backlog = 64
	}
	fd, port, err := listenTCP(spec)
	unitMust(tb, err)
	tb.Cleanup(func() { closeSocket(fd) })
	return fd, port
}

// awaitReadable waits until one of the descriptors is, and says which.
func awaitReadable(tb testing.TB, fds ...int) int {
	tb.Helper()
	polled := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	for end := time.Now().Add(unitHang); time.Now().Before(end); {
		n, err := unix.Poll(polled, int(unitHang/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			tb.Fatal(err)
		}
		if n > 0 {
			return slices.IndexFunc(polled, func(p unix.PollFd) bool { return p.Revents != 0 })
		}
	}
	tb.Fatal("nothing becomes readable")
	return -1
}

// dialed is a connection to a listener, both ends.
func dialed(tb testing.TB, listener, port int) (accepted, *net.TCPConn) {
	tb.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	unitMust(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	awaitReadable(tb, listener)
	a, e := new(acceptor).accept(listener)
	if e != 0 {
		tb.Fatal(e)
	}
	return a, c.(*net.TCPConn)
}

func option(tb testing.TB, fd, level, name int) int {
	tb.Helper()
	v, err := unix.GetsockoptInt(fd, level, name)
	unitMust(tb, err)
	return v
}

// What is set on the listener holds for its connections: no call for each.
func TestConnectionsInheritOptions(t *testing.T) {
	type value struct{ level, name, want int }
	nodelay := value{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}
	for _, c := range []struct {
		name string
		spec listenSpec
		want []value
	}{
		{"all", listenSpec{keepAlive: 7 * time.Second, timeout: 9 * time.Second}, []value{
			nodelay,
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 7},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 5},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 9000},
		}},
		{"none", listenSpec{keepAlive: -1, timeout: -1}, []value{
			nodelay, {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0}, {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0},
		}},
		{"keepalive below a second", listenSpec{keepAlive: time.Millisecond}, []value{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ls, port := unitListen(t, c.spec)
			a, _ := dialed(t, ls, port)
			defer closeSocket(a.fd)
			for _, v := range c.want {
				if got := option(t, a.fd, v.level, v.name); got != v.want {
					t.Errorf("option %d of level %d is %d, want %d", v.name, v.level, got, v.want)
				}
			}
		})
	}
}

func TestAccept(t *testing.T) {
	ls, port := unitListen(t, listenSpec{})
	if a, e := new(acceptor).accept(ls); e != unix.EAGAIN || a.fd != -1 || !notReady(e) {
		t.Fatalf("accept without a connection: %+v, %v", a, e)
	}
	a, c := dialed(t, ls, port)
	defer closeSocket(a.fd)
	if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); a.peer != want {
		t.Errorf("the peer is %v, want %v", a.peer, want)
	}
	if local, err := localAddr(a.fd); err != nil || local != c.RemoteAddr().(*net.TCPAddr).AddrPort() {
		t.Errorf("the local address is %v, %v", local, err)
	}
	for name, fd := range map[string]int{"listener": ls, "connection": a.fd} {
		status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		unitMust(t, err)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		unitMust(t, err)
		if status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("the %s has flags %#x, %#x", name, status, flags)
		}
	}
	if _, e := new(acceptor).accept(-1); e != unix.EBADF {
		t.Errorf("accept of -1: %v", e)
	}
	if addr, err := localAddr(-1); addr.IsValid() || !errors.Is(err, unix.EBADF) {
		t.Errorf("the address of -1: %v, %v", addr, err)
	}
}

// One listener serves both families, and tells IPv4 peers by IPv4 addresses. A
// namespace of its own has IPv6, whatever the machine has.
func TestListenIsDualStack(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "dual")
	var ls, port int
	unitMust(t, tenant.NS.Do(func() (err error) {
		ls, port, err = listenTCP(listenSpec{backlog: 8})
		return err
	}))
	defer closeSocket(ls)
	ctx, cancel := context.WithTimeout(t.Context(), unitHang)
	defer cancel()
	for _, host := range []netip.Addr{tenant.Addr4, tenant.Addr6} {
		var c net.Conn
		unitMust(t, tenant.NS.Do(func() (err error) {
			c, err = new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(host, uint16(port)).String())
			return err
		}))
		awaitReadable(t, ls)
		a, e := new(acceptor).accept(ls)
		if e != 0 {
			t.Fatal(e)
		}
		if want := c.LocalAddr().(*net.TCPAddr).AddrPort(); a.peer != netip.AddrPortFrom(want.Addr().Unmap(), want.Port()) || a.peer.Addr().Is4() != host.Is4() {
			t.Errorf("to %v: the peer is %v, want %v", host, a.peer, want)
		}
		if local, err := localAddr(a.fd); err != nil || local.Addr() != host || int(local.Port()) != port {
			t.Errorf("to %v: the local address is %v, %v", host, local, err)
		}
		closeSocket(a.fd)
		_ = c.Close()
	}
}

func TestPortTaken(t *testing.T) {
	_, port := unitListen(t, listenSpec{})
	for name, spec := range map[string]listenSpec{"alone": {port: port, backlog: 8}, "in a group": {port: port, backlog: 8, share: true}} {
		fd, bound, err := listenTCP(spec)
		var call *os.SyscallError
		if fd != -1 || bound != 0 || !errors.Is(err, unix.EADDRINUSE) || !errors.As(err, &call) {
			t.Errorf("%s: %d, %d, %v", name, fd, bound, err)
		}
		if noGroup(err) {
			t.Errorf("%s: a port that is taken looks like a lack of reuseport groups", name)
		}
	}
}

func TestNoGroup(t *testing.T) {
	fd, _ := unitListen(t, listenSpec{}) // no reuseport group
	if err := steerByCPU(fd, []int{0}); !noGroup(err) {
		t.Errorf("steering a socket without a group: %v", err)
	}
	for err, want := range map[error]bool{
		unix.ENOPROTOOPT: true, unix.EPERM: true, unix.EINVAL: true, unix.EADDRINUSE: false, unix.EMFILE: false, unix.EACCES: false,
	} {
		if got := noGroup(os.NewSyscallError("setsockopt", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if noGroup(nil) {
		t.Error("success is a lack of groups")
	}
}

// A connection goes to the socket of the CPU that its handshake came in on; on
// loopback that is the CPU that it was sent on.
func TestSteeringByCPU(t *testing.T) {
	cpus := allowedCPUs()
	if len(cpus) == 0 {
		t.Fatal("the kernel does not say which CPUs there are")
	}
	other := cpus[0] + 1 // with one CPU nothing can come from another
	if len(cpus) > 1 {
		other = cpus[1]
	}
	const absent = 100_000
	for name, steered := range map[string][]int{
		"in order": {cpus[0], other},
		"swapped":  {other, cpus[0]},
		"others":   {absent, absent + 1}, // spread: the CPU's number modulo the sockets
		"three":    {absent, other, cpus[0]},
	} {
		t.Run(name, func(t *testing.T) {
			fds := make([]int, len(steered))
			spec := listenSpec{share: true}
			for i := range fds {
				fds[i], spec.port = unitListen(t, spec)
			}
			unitMust(t, steerByCPU(fds[0], steered))
			for _, cpu := range cpus[:min(len(cpus), 2)] {
				want := slices.Index(steered, cpu)
				if want < 0 {
					want = cpu % len(steered)
				}
				for range 16 {
					fd := dialOn(t, cpu, spec.port)
					got := awaitReadable(t, fds...)
					if got != want {
						t.Fatalf("a connection from CPU %d is at socket %d, want %d", cpu, got, want)
					}
					a, e := new(acceptor).accept(fds[got])
					if e != 0 {
						t.Fatal(e)
					}
					closeSocket(a.fd)
					closeSocket(fd)
				}
			}
		})
	}
}

// dialOn connects to the loopback from a thread on a CPU.
func dialOn(t *testing.T, cpu, port int) int {
	t.Helper()
	var fd int
	unitMust(t, onThread(func() error {
		err := pinThread(cpu)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}))
	return fd
}

// onThread runs f on a thread that it may pin: not the process's main one, whose
// CPUs the engine takes for the process's.
func onThread(f func() error) error {
	var err error
	e := nsctx.RunLocked(func(*nsctx.Thread) {
		err = errors.Join(f(), pinThread(allowedCPUs()...))
	})
	return errors.Join(err, e)
}

func TestPinThread(t *testing.T) {
	cpus := allowedCPUs()
	unitMust(t, onThread(func() error {
		for _, cpu := range cpus {
			if err := pinThread(cpu); err != nil {
				t.Error(err)
			}
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() != 1 || !set.IsSet(cpu) {
				t.Errorf("pinned to %d: %v, %v", cpu, set, err)
			}
		}
		if err := pinThread(1023); err == nil && !slices.Contains(cpus, 1023) {
			t.Error("pinned to a CPU that is not there")
		}
		return nil
	}))
	if now := allowedCPUs(); !slices.Equal(now, cpus) {
		t.Errorf("one thread is pinned, and the process may use %v instead of %v", now, cpus)
	}
}

func TestAcceptFailure(t *testing.T) {
	for e, want := range map[errno]struct {
		kind      ErrorKind
		exhausted bool
	}{
		unix.EMFILE:       {ErrorAcceptLimit, true},
		unix.ENFILE:       {ErrorAcceptLimit, true},
		unix.ENOBUFS:      {ErrorAcceptMemory, true},
		unix.ENOMEM:       {ErrorAcceptMemory, true},
		unix.ECONNABORTED: {ErrorAcceptAbort, false},
		unix.EPROTO:       {ErrorAcceptAbort, false},
		unix.EBADF:        {ErrorAccept, true},
		unix.EINVAL:       {ErrorAccept, true},
		unix.ENOTSOCK:     {ErrorAccept, true},
		unix.EOPNOTSUPP:   {ErrorAccept, true},
		unix.EFAULT:       {ErrorAccept, true},
		// accept(2) passes these on from the new connection.
		unix.ENETDOWN:     {ErrorAccept, false},
		unix.ENOPROTOOPT:  {ErrorAccept, false},
		unix.EHOSTDOWN:    {ErrorAccept, false},
		unix.ENONET:       {ErrorAccept, false},
		unix.EHOSTUNREACH: {ErrorAccept, false},
		unix.ENETUNREACH:  {ErrorAccept, false},
		unix.EPERM:        {ErrorAccept, false},
		unix.ETIMEDOUT:    {ErrorAccept, false},
	} {
		if kind, exhausted := acceptFailure(e); kind != want.kind || exhausted != want.exhausted {
			t.Errorf("%v is %v, exhausted %v", e, kind, exhausted)
		}
		if notReady(e) {
			t.Errorf("%v means to try again", e)
		}
	}
}

func TestReadAndWriteSocket(t *testing.T) {
	a, b := unitPair(t)
	buf := make([]byte, 64)
	if n, e := readSocket(a, buf); n != 0 || !notReady(e) {
		t.Errorf("read of nothing: %d, %v", n, e)
	}
	for _, c := range []struct{ one, two string }{{"hello ", "world"}, {"", "world"}, {"hello", ""}} {
		if n, e := writeTwo(b, []byte(c.one), []byte(c.two)); n != len(c.one)+len(c.two) || e != 0 {
			t.Errorf("writev: %d, %v", n, e)
		}
		if n, e := readSocket(a, buf); string(buf[:n]) != c.one+c.two || e != 0 {
			t.Errorf("read: %q, %v", buf[:n], e)
		}
	}
	if n, e := writeSocket(b, []byte("bye")); n != 3 || e != 0 {
		t.Errorf("write: %d, %v", n, e)
	}
	chunk := make([]byte, 64<<10)
	var e errno
	for e == 0 {
		_, e = writeSocket(a, chunk)
	}
	if n, e2 := writeTwo(a, chunk, chunk); !notReady(e) || !notReady(e2) || n != 0 {
		t.Errorf("write to a full socket: %v, writev: %d, %v", e, n, e2)
	}
	unitMust(t, shutdownWrite(b))
	for _, want := range []string{"bye", ""} {
		if n, e := readSocket(a, buf); string(buf[:n]) != want || e != 0 {
			t.Errorf("read: %q, %v, want %q", buf[:n], e, want)
		}
	}
	closeSocket(b)
	if n, e := writeSocket(a, chunk); n != 0 || e != unix.EPIPE {
		t.Errorf("write to nobody: %d, %v", n, e)
	}
	if n, e := writeTwo(a, chunk, chunk); n != 0 || e != unix.EPIPE {
		t.Errorf("writev to nobody: %d, %v", n, e)
	}
	if n, e := readSocket(-1, buf); n != 0 || e != unix.EBADF {
		t.Errorf("read of -1: %d, %v", n, e)
	}
	if err := shutdownWrite(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("shutdown of -1: %v", err)
	}
}

func TestNotReady(t *testing.T) {
	for e, want := range map[errno]bool{unix.EAGAIN: true, unix.EINTR: true, 0: false, unix.EPIPE: false, unix.EMFILE: false} {
		if notReady(e) != want {
			t.Errorf("%v: %v", e, !want)
		}
	}
}

func TestResetAndPendingError(t *testing.T) {
	ls, port := unitListen(t, listenSpec{})
	a, c := dialed(t, ls, port)
	raw, err := c.SyscallConn()
	unitMust(t, err)
	setReset(a.fd)
	closeSocket(a.fd)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a peer of a socket that was reset reads %v", err)
	}
	unitMust(t, raw.Control(func(fd uintptr) {
		if err := pendingError(int(fd)); err != nil {
			t.Errorf("an error that was read is still pending: %v", err)
		}
	}))

	a, c = dialed(t, ls, port)
	defer closeSocket(a.fd)
	if err := pendingError(a.fd); err != nil {
		t.Errorf("a sound connection has %v pending", err)
	}
	unitMust(t, c.SetLinger(0))
	unitMust(t, c.Close())
	awaitReadable(t, a.fd)
	if err := pendingError(a.fd); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after a reset %v is pending", err)
	}
	if err := pendingError(a.fd); err != nil {
		t.Errorf("taken, %v is still pending", err)
	}
	if err := pendingError(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("-1 has %v pending", err)
	}
}

func TestSetUserTimeout(t *testing.T) {
	ls, port := unitListen(t, listenSpec{timeout: time.Minute})
	a, _ := dialed(t, ls, port)
	defer closeSocket(a.fd)
	setUserTimeout(a.fd, orphanTimeout)
	if got := option(t, a.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != int(orphanTimeout.Milliseconds()) {
		t.Errorf("the user timeout is %d ms", got)
	}
}
