package gnethandler

import (
	"net"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	gnetsocket "github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// socket is a connection's descriptor, which gnet lets any goroutine use. The
// lock is what makes that safe: the engine closes a descriptor after OnClose,
// which takes it away here, so that whoever holds the lock and finds it does
// not meet another connection's under the same number.
type socket struct {
	mu          sync.Mutex
	fd          int
	gone        bool
	reset       bool // SetLinger(0)
	noKeepAlive bool // it is not TCP's
}

var _ gnet.Socket = (*socket)(nil)

// borrow takes the descriptor down. The engine's word is not to keep it, but
// giveBack comes before the engine closes it.
func (s *socket) borrow(control func(func(fd int)) error) {
	s.gone = control(func(fd int) { s.fd = fd }) != nil
}

func (s *socket) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

func (s *socket) endsInReset() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reset
}

// use calls f with the descriptor while it is the connection's.
func (s *socket) use(f func(fd int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return net.ErrClosed
	}
	return f(s.fd)
}

// Fd is the descriptor; -1 after OnClose. It must be neither read, written nor
// closed, and is another's when the connection is closed.
func (s *socket) Fd() int {
	n := -1
	_ = s.use(func(fd int) error { n = fd; return nil })
	return n
}

// Dup wraps fcntl(2), F_DUPFD_CLOEXEC. The caller closes the copy, and until
// then it keeps the connection and its namespace.
func (s *socket) Dup() (int, error) {
	dup := -1
	err := s.use(func(fd int) (err error) { dup, err = gnetsocket.Dup(fd); return err })
	return dup, err
}

// SetReadBuffer wraps setsockopt(2), SO_RCVBUF.
func (s *socket) SetReadBuffer(size int) error {
	return s.use(func(fd int) error { return gnetsocket.SetRecvBuffer(fd, size) })
}

// SetWriteBuffer wraps setsockopt(2), SO_SNDBUF.
func (s *socket) SetWriteBuffer(size int) error {
	return s.use(func(fd int) error { return gnetsocket.SetSendBuffer(fd, size) })
}

// SetLinger wraps setsockopt(2), SO_LINGER. With 0 the connection is closed by
// a reset, as on gnet.
func (s *socket) SetLinger(secs int) error {
	return s.use(func(fd int) error {
		err := gnetsocket.SetLinger(fd, secs)
		if err == nil {
			s.reset = secs == 0
		}
		return err
	})
}

// SetKeepAlivePeriod wraps setsockopt(2), SO_KEEPALIVE and TCP_KEEPIDLE: five
// probes, each a fifth of d after the other.
func (s *socket) SetKeepAlivePeriod(d time.Duration) error {
	if s.noKeepAlive {
		return gneterrors.ErrUnsupportedOp
	}
	return s.use(func(fd int) error { return gnetsocket.SetKeepAlivePeriod(fd, seconds(d)) })
}

// SetKeepAlive wraps setsockopt(2), SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL
// and TCP_KEEPCNT.
func (s *socket) SetKeepAlive(enabled bool, idle, intvl time.Duration, cnt int) error {
	if s.noKeepAlive {
		return gneterrors.ErrUnsupportedOp
	}
	return s.use(func(fd int) error {
		return gnetsocket.SetKeepAlive(fd, enabled, seconds(idle), seconds(intvl), cnt)
	})
}

// SetNoDelay wraps setsockopt(2), TCP_NODELAY, which the engine has set.
func (s *socket) SetNoDelay(noDelay bool) error {
	value := 0
	if noDelay {
		value = 1
	}
	return s.use(func(fd int) error { return gnetsocket.SetNoDelay(fd, value) })
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// unixAddrs are the two ends of a unix socket, unix(7), of which the one that
// has connected mostly has no name.
type unixAddrs struct{ local, remote net.UnixAddr }

// unixAddrs wraps getsockname(2) and getpeername(2).
func (s *socket) unixAddrs() *unixAddrs {
	named := func(get func(fd int) (unix.Sockaddr, error)) net.UnixAddr {
		addr := net.UnixAddr{Net: "unix"}
		_ = s.use(func(fd int) error {
			sa, err := get(fd)
			if sa, ok := sa.(*unix.SockaddrUnix); ok {
				addr.Name = sa.Name
			}
			return err // ENOTCONN of a peer that is gone already: it has no name then
		})
		return addr
	}
	return &unixAddrs{named(unix.Getsockname), named(unix.Getpeername)}
}
