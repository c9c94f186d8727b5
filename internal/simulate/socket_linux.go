package simulate

import (
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Socket is a simulated stream socket, as the loop sees it: one method for each
// system call that the engine makes on a connection, with the call's own errors.
// The methods are called by the goroutine that turns the loop.
type Socket interface {
	// Read is readv(2), and Write is writev(2), with two pieces, of which the
	// second may be nil: some bytes, or EAGAIN, or what ended the connection. A
	// Read of 0 bytes and no error is the end.
	Read(a, b []byte) (int, syscall.Errno)
	Write(a, b []byte) (int, syscall.Errno)
	// ShutdownWrite is shutdown(2) with SHUT_WR.
	ShutdownWrite() error
	// Linger is setsockopt(2) with SO_LINGER and a time of 0: Close resets.
	Linger()
	// SetUserTimeout is setsockopt(2) with TCP_USER_TIMEOUT.
	SetUserTimeout(d time.Duration)
	// Unacknowledged is ioctl(2) with SIOCOUTQ, in bytes.
	Unacknowledged() int
	// PendingError is getsockopt(2) with SO_ERROR.
	PendingError() error
	// LocalAddr is getsockname(2).
	LocalAddr() (netip.AddrPort, error)
	// Ready is what epoll_wait(2) would say.
	Ready() Readiness
	// Close is close(2). The descriptor is another's afterwards.
	Close()
}

// Readiness is a set of what a socket is ready for.
type Readiness uint8

// The conditions of epoll(7) that a loop heeds.
const (
	Readable Readiness = 1 << iota
	Writable
	Failed
	HungUp
)

// First is the lowest number of a simulated descriptor. A kernel gives out the lowest
// that is free, and a table of a billion of them would take 8 GiB.
const First = 1 << 30

// The descriptors of all simulated loops of the process, as a kernel has one table.
var (
	mu      sync.RWMutex
	sockets = make(map[int]Socket)
	next    = First
)

// Open gives a socket a descriptor, until Close.
func Open(s Socket) (fd int) {
	mu.Lock()
	defer mu.Unlock()
	fd = next
	next++
	sockets[fd] = s
	return fd
}

// At is the socket with a descriptor. If there is none it is one on which every call
// fails as on a closed descriptor.
func At(fd int) Socket {
	mu.RLock()
	defer mu.RUnlock()
	if s := sockets[fd]; s != nil {
		return s
	}
	return closed{}
}

// Close closes the socket with a descriptor.
func Close(fd int) {
	mu.Lock()
	s := sockets[fd]
	delete(sockets, fd)
	mu.Unlock()
	if s != nil {
		s.Close()
	}
}

// closed is what a descriptor stands for that is not open.
type closed struct{}

func (closed) Read(_, _ []byte) (int, syscall.Errno)  { return 0, syscall.EBADF }
func (closed) Write(_, _ []byte) (int, syscall.Errno) { return 0, syscall.EBADF }
func (closed) ShutdownWrite() error                   { return syscall.EBADF }
func (closed) Linger()                                {}
func (closed) SetUserTimeout(time.Duration)           {}
func (closed) Unacknowledged() int                    { return 0 }
func (closed) PendingError() error                    { return syscall.EBADF }
func (closed) LocalAddr() (netip.AddrPort, error)     { return netip.AddrPort{}, syscall.EBADF }
func (closed) Ready() Readiness                       { return 0 }
func (closed) Close()                                 {}
