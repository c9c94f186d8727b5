package engine

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// failAccept makes the accept4(2) of a port fail for as long as the returned
// count is above zero, which each failure lowers.
func (s *testServer) failAccept(port int, e errno, times int64) (left *atomic.Int64) {
	left = new(atomic.Int64)
	left.Store(times)
	for i := range s.loops {
		s.onLoop(i, func(l *loop) {
			accept := l.accept
			l.accept = func(fd int) (accepted, errno) {
				local, _ := localAddr(fd)
				if int(local.Port()) == port && left.Add(-1) >= 0 {
					return accepted{fd: -1}, e
				}
				return accept(fd)
			}
		})
	}
	return left
}

// Pain 15: one failure of accept4(2) ends the server: with EMFILE gnet's Run
// returned nil (#367), evio's loop ended. Every errno is weather: it is counted
// by its kind, nobody who waits in the backlog is lost, and neither the other
// listeners nor the open connections notice.
func TestAcceptFailuresAreWeather(t *testing.T) {
	for _, failure := range []struct {
		e    errno
		kind ErrorKind
	}{
		{unix.EMFILE, ErrorAcceptLimit},
		{unix.ENFILE, ErrorAcceptLimit},
		{unix.ENOBUFS, ErrorAcceptMemory},
		{unix.ENOMEM, ErrorAcceptMemory},
		{unix.ECONNABORTED, ErrorAcceptAbort},
		{unix.EPROTO, ErrorAcceptAbort},
		{unix.ENETDOWN, ErrorAccept},
		{unix.ENETUNREACH, ErrorAccept},
		{unix.EHOSTUNREACH, ErrorAccept},
		{unix.EPERM, ErrorAccept},
		{unix.EINVAL, ErrorAccept},
		{unix.Errno(4095), ErrorAccept},
	} {
		t.Run(unix.ErrnoName(failure.e), func(t *testing.T) {
			s := startServer(t, Config{}, hooks{data: echo}, hooks{data: echo})
			old := s.dial()
			old.roundTrip([]byte("before"))
			const times = 3
			left := s.failAccept(s.ports[0], failure.e, times)
			waiting := []*client{s.dial(), s.dial(), s.dial()}
			for range 5 {
				old.roundTrip([]byte("an old connection"))
				s.dialPort(s.ports[1]).roundTrip([]byte("another listener"))
			}
			for _, c := range waiting {
				c.roundTrip([]byte("served at last"))
			}
			if left.Load() > 0 {
				t.Errorf("%d failures of %d did not happen", left.Load(), times)
			}
			if got := s.stats().Errors; got[failure.kind] != times {
				t.Errorf("errors counted: %v, want %d of %v", got, times, failure.kind)
			}
			select {
			case err := <-s.failed:
				t.Errorf("the engine failed: %v", err)
			default:
			}
		})
	}
}

// Pain 15, without an end: while descriptors stay exhausted, or every accept
// fails, the loop does not spin, the log says so once, others are served, and
// those who wait are served when it is over.
func TestAcceptFailuresWithoutEnd(t *testing.T) {
	const forever = 1 << 60
	s := startServer(t, Config{}, hooks{data: echo}, hooks{data: echo})
	left := s.failAccept(s.ports[0], unix.EMFILE, forever)
	waiting := s.dial()
	awaitUntil(t, "it has failed three times", func() bool { return left.Load() <= forever-3 })
	s.mustBeQuiet(0, "accept fails with EMFILE")
	for range 20 {
		s.dialPort(s.ports[1]).roundTrip([]byte("another listener"))
	}
	if lines := s.log.find("cannot accept"); len(lines) != 1 || !strings.Contains(lines[0], "RLIMIT_NOFILE") {
		t.Errorf("the log says %q, want one line that names the limit", lines)
	}
	left.Store(0)
	waiting.roundTrip([]byte("served at last"))

	// An abort says nothing of the next connection, so there is no pause; the
	// budget is what lets others in.
	left = s.failAccept(s.ports[0], unix.ECONNABORTED, forever)
	waiting = s.dial()
	for range 20 {
		s.dialPort(s.ports[1]).roundTrip([]byte("another listener"))
	}
	left.Store(0)
	waiting.roundTrip([]byte("served at last"))
}

// Shutdown and Detach while a listener is paused: its timer must not bring a
// closed descriptor back into the poller.
func TestShutdownOfAPausedListener(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	left := s.failAccept(s.ports[0], unix.EMFILE, 1<<60)
	s.dial()
	awaitUntil(t, "the listener is paused", func() bool { return left.Load() < 1<<60 })
	if err := s.Detach(soon(t), s.home); err != nil {
		t.Fatal(err)
	}
	s.onLoop(0, func(l *loop) {
		if len(l.timers) != 0 {
			t.Errorf("%d timers are left of a detached namespace", len(l.timers))
		}
	})
	if err := s.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

const emfileEnv = "NSREACTOR_TEST_EMFILE"

// Pain 15 for real: a process of its own runs out of descriptors (RLIMIT_NOFILE)
// while clients wait, and gets some again.
func TestRealDescriptorExhaustion(t *testing.T) {
	if os.Getenv(emfileEnv) != "" {
		exhaustDescriptors(t)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), emfileEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func exhaustDescriptors(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo}, hooks{data: echo})
	old, other := s.dial(), s.dialPort(s.ports[1])
	old.roundTrip([]byte("before"))
	other.roundTrip([]byte("before"))

	// The clients' descriptors are made before the limit falls; two of them
	// can still be accepted, the rest waits.
	const clients, accepted = 6, 2
	fds := make([]int, clients)
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	next, err := unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(next)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// All numbers below next are taken, or the kernel would have given one.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next + accepted), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: s.ports[0], Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	awaitUntil(t, "descriptors are exhausted", func() bool { return s.stats().Errors[ErrorAcceptLimit] > 1 })
	if got := s.stats().Conns; got != 2+accepted {
		t.Errorf("%d connections are open, want %d", got, 2+accepted)
	}
	s.mustBeQuiet(0, "descriptors are exhausted")
	old.roundTrip([]byte("an old connection"))
	other.roundTrip([]byte("another port's"))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		message := fmt.Sprintf("client %d", i)
		b := make([]byte, 32)
		if _, err := unix.Write(fd, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, b); err != nil || string(b[:n]) != message {
			t.Fatalf("%s got %q, %v", message, b[:max(n, 0)], err)
		}
	}
}
