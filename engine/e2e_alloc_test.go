package engine

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// rawClient is a connection that allocates nothing. It belongs to one goroutine.
type rawClient struct {
	tb  testing.TB
	fd  int
	buf []byte
}

func newRawClient(tb testing.TB, port, size int) *rawClient {
	tb.Helper()
	fd, err := rawDial(port)
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	return &rawClient{tb, fd, make([]byte, size)}
}

func (c *rawClient) echo() {
	if n, err := unix.Write(c.fd, c.buf); n != len(c.buf) || err != nil {
		c.tb.Fatalf("wrote %d of %d bytes: %v", n, len(c.buf), err)
	}
	for got := 0; got < len(c.buf); {
		n, err := unix.Read(c.fd, c.buf[got:])
		if n <= 0 || err != nil {
			c.tb.Fatalf("read %d, %v after %d of %d bytes", n, err, got, len(c.buf))
		}
		got += n
	}
}

// allocations is how many times the whole process allocates while f runs n
// times, per run and rounded down, as testing.AllocsPerRun says it for one
// goroutine.
func allocations(n int, f func()) uint64 {
	for range n / 10 {
		f() // what grows only once has grown
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(n)
}

// A message costs no allocation, from the readiness to the reply; nor do the
// calls from other goroutines.
func TestHotPathAllocatesNothing(t *testing.T) {
	limit := uint64(0)
	if raceEnabled {
		limit = 4 // the standard library's read(2) and write(2)
	}
	opened := make(chan *Conn, 1)
	called := make(chan struct{}, 1)
	s := startBare(t, Config{}, hooks{
		open:  func(c *Conn) { opened <- c },
		data:  echo,
		wake:  func(*Conn) { called <- struct{}{} },
		timer: func(*Conn) { called <- struct{}{} },
	})
	for _, size := range []int{64, 4 << 10, 32 << 10} {
		client := newRawClient(t, s.ports[0], size)
		await(t, opened, "the echo's connection")
		if n := allocations(2000, client.echo); n > limit {
			t.Errorf("an echo of %d bytes makes %d allocations", size, n)
		}
	}
	client := newRawClient(t, s.ports[0], 64)
	c := await(t, opened, "a connection")
	if n := allocations(2000, func() { c.Wake(); <-called }); n > limit {
		t.Errorf("a Wake makes %d allocations", n)
	}
	call := func(*Conn) { called <- struct{}{} }
	if n := allocations(2000, func() { c.Call(call); <-called }); n > limit {
		t.Errorf("a Call makes %d allocations", n)
	}
	timed := func(c *Conn) { c.SetTimer(1) }
	if n := allocations(500, func() { c.Call(timed); <-called }); n > limit {
		t.Errorf("a timer makes %d allocations", n)
	}
	message := make([]byte, 64)
	asyncWrite := func() {
		c.AsyncWrite(message, nil)
		if n, err := unix.Read(client.fd, client.buf); n != len(message) || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
	}
	if n := allocations(2000, asyncWrite); n > limit {
		t.Errorf("an AsyncWrite makes %d allocations", n)
	}
}

// idleLimit is how many bytes of heap an idle connection may cost.
const idleLimit = 1 << 10

// An idle connection costs the engine less than a kilobyte, before its first
// message and after (netpoll holds 12 KB after one echo, a goroutine 8 KB).
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n = 2000
	s := startBare(t, Config{}, hooks{data: echo})
	fds := make([]int, 0, n)
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the pools' second generation too
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	for range n {
		fd, err := rawDial(s.ports[0])
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	awaitUntil(t, "all are accepted", func() bool { return s.stats().Conns == n })
	if each := (heap() - before) / n; each > idleLimit {
		t.Errorf("a connection that has not talked costs %d bytes, want %d at most", each, idleLimit)
	}
	buf := make([]byte, 4<<10)
	for _, fd := range fds {
		if _, err := unix.Write(fd, buf); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(buf); {
			n, err := unix.Read(fd, buf)
			if n <= 0 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			got += n
		}
	}
	each := (heap() - before) / n
	t.Logf("an idle connection costs %d bytes of heap", each)
	if each > idleLimit {
		t.Errorf("a connection that has talked costs %d bytes, want %d at most", each, idleLimit)
	}
}

// BenchmarkEcho is one connection's round trip through the engine and the
// loopback. The client allocates nothing, so allocs/op is the engine's.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := startBare(b, Config{}, hooks{data: echo})
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			client := newRawClient(b, s.ports[0], size)
			client.echo()
			b.SetBytes(int64(2 * size))
			b.ReportAllocs()
			for b.Loop() {
				client.echo()
			}
		})
	}
}
