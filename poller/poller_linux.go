package poller

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sizes of an event batch. It starts small and doubles whenever a wait
// fills it: a small array under many ready descriptors costs a system call
// for every few of them.
const (
	minBatch = 256
	maxBatch = 4096
)

// ErrClosed is the error of every call on a closed Poller.
var ErrClosed = errors.New("poller: closed")

// Poller is an epoll(7) instance with a waker. Wait and Close belong to one
// goroutine; Add, Modify and Remove may be called from any until Close is, but
// the token discipline is simplest when they too are left to that one. Wake is
// for everyone, at any time.
type Poller struct {
	epfd  int
	batch []unix.EpollEvent
	waker waker
}

// waker is the eventfd(2) behind Wake. The lock keeps the descriptor open
// while a Wake writes to it: written to after its close, the eight bytes
// would land in whatever took its number.
type waker struct {
	mu sync.Mutex
	fd int // -1 once closed
}

// New makes a Poller: epoll_create1(2) and eventfd(2).
func New() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &Poller{epfd: epfd, batch: make([]unix.EpollEvent, minBatch), waker: waker{fd: efd}}
	// The waker is edge-triggered and never read: every write is an edge, and
	// its counter would need centuries to fill.
	if err := p.control(unix.EPOLL_CTL_ADD, efd, unix.EPOLLIN|unix.EPOLLET, WakeToken); err != nil {
		_ = unix.Close(efd)
		_ = unix.Close(epfd)
		return nil, err
	}
	return p, nil
}

// Add registers a descriptor: epoll_ctl(2) with EPOLL_CTL_ADD. The descriptor
// should be non-blocking. Slot 0 is the waker's.
func (p *Poller) Add(fd int, t Token, i Interest) error {
	if err := checkSlot(fd, t); err != nil {
		return err
	}
	return p.control(unix.EPOLL_CTL_ADD, fd, i.epoll(), t)
}

// Modify replaces a registration's interest and token: epoll_ctl(2) with
// EPOLL_CTL_MOD. Slot 0 is refused as by Add.
func (p *Poller) Modify(fd int, t Token, i Interest) error {
	if err := checkSlot(fd, t); err != nil {
		return err
	}
	return p.control(unix.EPOLL_CTL_MOD, fd, i.epoll(), t)
}

func checkSlot(fd int, t Token) error {
	if t.Slot() == WakeToken.Slot() {
		return fmt.Errorf("poller: register fd %d: slot %d is the waker's", fd, t.Slot())
	}
	return nil
}

// Remove ends a registration: epoll_ctl(2) with EPOLL_CTL_DEL. Closing a
// descriptor is not enough, since a duplicate of it (in a forked child, say)
// would keep the registration alive.
func (p *Poller) Remove(fd int) error {
	return p.control(unix.EPOLL_CTL_DEL, fd, 0, 0)
}

// control wraps epoll_ctl(2), which never blocks and so needs no word to the
// Go scheduler.
func (p *Poller) control(op, fd int, events uint32, t Token) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(t.Slot()), Pad: int32(t.Generation())}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return p.failed("epoll_ctl", errno)
	}
	return nil
}

// failed is the error of a call: a closed poller's descriptor is -1, which the
// kernel refuses.
func (p *Poller) failed(call string, errno unix.Errno) error {
	if errno == unix.EBADF && p.epfd < 0 {
		return ErrClosed
	}
	return os.NewSyscallError(call, errno)
}

// Wait returns the events of one epoll_wait(2), at least one unless the
// timeout ends or a signal arrives first. A timeout of 0 never blocks, a
// negative one blocks for as long as it takes; others are rounded up to
// milliseconds, the kernel's unit, so that a wait never ends short of a timer.
//
// A signal ends the wait early, with no events and no error: the caller works
// out anew how long it has left. (Restarting with the whole timeout would
// never let a timer fire in a Go process, whose scheduler sends signals.)
//
// The events are valid until the next Wait.
func (p *Poller) Wait(timeout time.Duration) ([]Event, error) {
	var n uintptr
	var errno unix.Errno
	if timeout == 0 {
		n, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p.batch))), uintptr(len(p.batch)), 0, 0, 0)
	} else {
		// A wait that may block must tell the scheduler, or a garbage
		// collection would wait for this thread's next event.
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p.batch))), uintptr(len(p.batch)), uintptr(milliseconds(timeout)), 0, 0)
	}
	if errno != 0 {
		if errno == unix.EINTR {
			return nil, nil
		}
		return nil, p.failed("epoll_wait", errno)
	}
	events := asEvents(p.batch[:n])
	if int(n) == len(p.batch) && n < maxBatch {
		p.batch = make([]unix.EpollEvent, 2*n) // the events keep the old array alive
	}
	return events, nil
}

// Wake makes the present or the next Wait return with a [WakeToken] event.
// Any goroutine may call it, at any time; after Close it is [ErrClosed] and
// touches no descriptor.
func (p *Poller) Wake() error {
	p.waker.mu.Lock()
	defer p.waker.mu.Unlock()
	if p.waker.fd < 0 {
		return ErrClosed
	}
	one := uint64(1)
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(p.waker.fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
	if errno != 0 {
		return os.NewSyscallError("write eventfd", errno)
	}
	return nil
}

// Close releases the poller's own descriptors, after any Wake under way. The
// registered ones are the caller's to close. A second Close is [ErrClosed].
func (p *Poller) Close() error {
	p.waker.mu.Lock()
	defer p.waker.mu.Unlock()
	if p.waker.fd < 0 {
		return ErrClosed
	}
	err := errors.Join(
		os.NewSyscallError("close eventfd", unix.Close(p.waker.fd)),
		os.NewSyscallError("close epoll", unix.Close(p.epfd)))
	p.waker.fd, p.epfd = -1, -1
	return err
}

// milliseconds rounds up, and to -1 what means "for ever".
func milliseconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	if d > math.MaxInt32*time.Millisecond {
		return math.MaxInt32
	}
	return int((d + time.Millisecond - 1) / time.Millisecond)
}
