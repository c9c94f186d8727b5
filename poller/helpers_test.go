package poller

import (
	"maps"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hang is how long a wait for something certain may take. Only a hang does.
const hang = 30 * time.Second

func newPoller(tb testing.TB) *Poller {
	tb.Helper()
	p, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() }) // some tests have closed it
	return p
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// file is a descriptor that a test may close before its end.
type file struct {
	tb testing.TB
	fd int
}

func newFile(tb testing.TB, fd int) *file {
	f := &file{tb: tb, fd: fd}
	tb.Cleanup(f.close)
	return f
}

func (f *file) close() {
	if f.fd >= 0 {
		must(f.tb, unix.Close(f.fd))
		f.fd = -1
	}
}

func (f *file) write(s string) {
	f.tb.Helper()
	if n, err := unix.Write(f.fd, []byte(s)); err != nil || n != len(s) {
		f.tb.Fatalf("write: %d, %v", n, err)
	}
}

// read is one read(2); the end of the stream is "".
func (f *file) read() string {
	f.tb.Helper()
	var buf [64]byte
	n, err := unix.Read(f.fd, buf[:])
	must(f.tb, err)
	return string(buf[:n])
}

// pair is a connected pair of stream sockets, whose readiness changes before
// the call that changes it returns.
func pair(tb testing.TB) (a, b *file) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(tb, err)
	return newFile(tb, fds[0]), newFile(tb, fds[1])
}

func pipe(tb testing.TB) (r, w *file) {
	tb.Helper()
	var fds [2]int
	must(tb, unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	return newFile(tb, fds[0]), newFile(tb, fds[1])
}

// eventfd is readable if value is not 0.
func eventfd(tb testing.TB, value uint) *file {
	tb.Helper()
	fd, err := unix.Eventfd(value, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(tb, err)
	return newFile(tb, fd)
}

// now is what Wait says without blocking.
func now(tb testing.TB, p *Poller) map[Token]Readiness {
	tb.Helper()
	events, err := p.Wait(0)
	must(tb, err)
	return byToken(tb, events)
}

func byToken(tb testing.TB, events []Event) map[Token]Readiness {
	tb.Helper()
	got := make(map[Token]Readiness, len(events))
	for i := range events {
		t := events[i].Token()
		if _, twice := got[t]; twice {
			tb.Fatalf("token %v twice in one batch", t)
		}
		got[t] = events[i].Readiness()
	}
	return got
}

// await is what Wait says when it says something; a signal may come first.
func await(tb testing.TB, p *Poller) map[Token]Readiness {
	tb.Helper()
	for end := time.Now().Add(hang); time.Now().Before(end); {
		events, err := p.Wait(time.Until(end))
		must(tb, err)
		if len(events) > 0 {
			return byToken(tb, events)
		}
	}
	tb.Fatal("no event")
	return nil
}

// expect compares what Wait says without blocking, conditions by their names:
// the kernel adds bits that nobody asked for, such as EPOLLRDNORM.
func expect(tb testing.TB, p *Poller, want map[Token]string) {
	tb.Helper()
	got := make(map[Token]string)
	for t, r := range now(tb, p) {
		got[t] = r.String()
	}
	if !maps.Equal(got, want) {
		tb.Fatalf("Wait says %v, want %v", got, want)
	}
}

// finish waits for a goroutine's end.
func finish(tb testing.TB, done <-chan struct{}, what string) {
	tb.Helper()
	select {
	case <-done:
	case <-time.After(hang):
		tb.Fatalf("%s did not end", what)
	}
}
