package poller

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEveryCallAfterCloseIsErrClosed(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, p.Close())
	for name, call := range map[string]func() error{
		"Add":     func() error { return p.Add(a.fd, tokenA, Readable) },
		"Modify":  func() error { return p.Modify(a.fd, tokenA, Readable) },
		"Remove":  func() error { return p.Remove(a.fd) },
		"Wait":    func() error { _, err := p.Wait(-1); return err },
		"Wait(0)": func() error { _, err := p.Wait(0); return err },
		"Wake":    p.Wake,
		"Close":   p.Close,
	} {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func TestCloseLeavesRegisteredDescriptorsOpen(t *testing.T) {
	p := newPoller(t)
	a, b := pair(t)
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, p.Close())
	b.write("still here")
	if got := a.read(); got != "still here" {
		t.Fatalf("read %q", got)
	}
}

func TestDescriptorsAreClosedOnExec(t *testing.T) {
	p := newPoller(t)
	for name, fd := range map[string]int{"epoll": p.epfd, "eventfd": p.waker.fd} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		must(t, err)
		if flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s survives exec", name)
		}
	}
}

// With no descriptor left, and with just one, New fails with the errno and
// keeps nothing. That it keeps nothing TestMain would find out, too.
func TestNewWithoutDescriptors(t *testing.T) {
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	lowest := eventfd(t, 0)
	lowest.tb.Cleanup(func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	number := uint64(lowest.fd)
	lowest.close()

	for free, call := range []string{"epoll_create1", "eventfd"} {
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: number + uint64(free), Max: limit.Max}))
		p, err := New()
		must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		if p != nil || !errors.Is(err, unix.EMFILE) {
			t.Fatalf("with %d descriptors free: %v, %v", free, p, err)
		}
		if sys := (*os.SyscallError)(nil); !errors.As(err, &sys) || sys.Syscall != call {
			t.Errorf("with %d descriptors free: %v, want one of %s", free, err, call)
		}
		if again := eventfd(t, 0); uint64(again.fd) != number {
			t.Errorf("descriptor %d is still in use", number)
		} else {
			again.close()
		}
	}
}
