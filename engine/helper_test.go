package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// The tools of engine's tests.
//
//	startServer   an engine that serves home's loopback, every handler on a port
//	              of its own, refereed (see referee)
//	dial          a client with a hang guard: send, recv, roundTrip, reset …
//	await         waits for a value of a channel
//	awaitUntil    waits for a condition that sends no word
//	onLoop        runs a function on a loop, hold stops one
//	quiet         counts what a loop does while nothing should happen
//	hooks         a Handler made of functions
//	pattern       bytes whose order a hash can tell

// patience is how long a test waits before it calls a hang a hang. Nothing
// else may depend on it.
const patience = 30 * time.Second

// hooks is a Handler made of functions. Where one is nil, it does what
// BaseHandler does.
type hooks struct {
	open, data, eof, writable, wake, timer, drain func(*Conn)
	closed                                        func(*Conn, error)
}

func (h hooks) OnOpen(c *Conn)     { orElse(h.open, BaseHandler{}.OnOpen)(c) }
func (h hooks) OnData(c *Conn)     { orElse(h.data, BaseHandler{}.OnData)(c) }
func (h hooks) OnReadEOF(c *Conn)  { orElse(h.eof, BaseHandler{}.OnReadEOF)(c) }
func (h hooks) OnWritable(c *Conn) { orElse(h.writable, BaseHandler{}.OnWritable)(c) }
func (h hooks) OnWake(c *Conn)     { orElse(h.wake, BaseHandler{}.OnWake)(c) }
func (h hooks) OnTimer(c *Conn)    { orElse(h.timer, BaseHandler{}.OnTimer)(c) }
func (h hooks) OnDrain(c *Conn)    { orElse(h.drain, BaseHandler{}.OnDrain)(c) }
func (h hooks) OnClose(c *Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

func orElse(f, otherwise func(*Conn)) func(*Conn) {
	if f == nil {
		return otherwise
	}
	return f
}

// echo sends back what arrives. It is a data hook.
func echo(c *Conn) {
	b, _ := c.Next(c.Buffered())
	_, _ = c.Write(b)
}

// keep leaves what arrives where it is. It is a data hook.
func keep(*Conn) {}

// stay does nothing, where BaseHandler would close. It is a hook.
func stay(*Conn) {}

// testServer is an Engine that serves home.
type testServer struct {
	*Engine
	t        testing.TB
	home     *Namespace
	ports    []int // of the handlers, in their order
	log      *logbook
	referees []*referee
}

// startServer starts an engine, on one loop unless cfg says otherwise, that
// serves each handler on a port of its own in the home namespace. When the
// test ends the engine is cut off, and every referee has its say.
func startServer(t testing.TB, cfg Config, handlers ...Handler) *testServer {
	t.Helper()
	referees := make([]*referee, len(handlers))
	for i, h := range handlers {
		referees[i] = &referee{Handler: h, t: t, lives: make(map[*Conn]*life)}
		handlers[i] = referees[i]
	}
	s := startBare(t, cfg, handlers...)
	s.referees = append(s.referees, referees...)
	return s
}

// refereed is a handler to dial with.
func (s *testServer) refereed(h Handler) Handler {
	r := &referee{Handler: h, t: s.t, lives: make(map[*Conn]*life)}
	s.referees = append(s.referees, r)
	return r
}

// startBare is startServer without referees, which allocate and keep every
// Conn that they have seen.
func startBare(t testing.TB, cfg Config, handlers ...Handler) *testServer {
	t.Helper()
	if cfg.Loops == 0 {
		cfg.Loops = 1
	}
	s := &testServer{t: t, log: &logbook{more: make(chan struct{})}}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(s.log)
	}
	eng, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Engine = eng
	t.Cleanup(s.cutOff)
	for _, h := range handlers {
		if err := s.Handle("tcp", 0, h); err != nil {
			t.Fatal(err)
		}
	}
	if s.home, err = s.Attach(nsctx.Home()); err != nil {
		t.Fatal(err)
	}
	for _, l := range s.stats().Listeners {
		s.ports = append(s.ports, l.Port)
	}
	for i := range s.loops {
		s.onLoop(i, func(*loop) {}) // the listeners are the loops' now
	}
	return s
}

// cutOff ends the engine without giving anything time to finish.
func (s *testServer) cutOff() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(now)
	for _, l := range s.loops {
		await(s.t, l.stopped, fmt.Sprintf("the end of loop %d", l.index))
	}
	for _, r := range s.referees {
		r.finish()
	}
}

// stats is home's part of a snapshot.
func (s *testServer) stats() NamespaceStats {
	for _, ns := range s.Stats().Namespaces {
		if ns.ID == s.home.ID() {
			return ns
		}
	}
	return NamespaceStats{}
}

// loopStats is the sum of all loops' counters that tests ask for.
func (s *testServer) loopStats() (sum LoopStats) {
	for _, l := range s.Stats().Loops {
		sum.Turns += l.Turns
		sum.Events += l.Events
		sum.StaleEvents += l.StaleEvents
		sum.Waits += l.Waits
		sum.Tasks += l.Tasks
		sum.Panics += l.Panics
		sum.Stalls += l.Stalls
		sum.Conns += l.Conns
		sum.Listeners += l.Listeners
	}
	return sum
}

// onLoop runs f on a loop, between its events, and returns when f has. f must
// not end the test.
func (s *testServer) onLoop(i int, f func(*loop)) {
	s.t.Helper()
	done := make(chan struct{})
	run := func(l *loop) {
		defer close(done)
		f(l)
	}
	if !s.loops[i].post(task{kind: taskLoop, run: run}) {
		s.t.Fatalf("loop %d takes no tasks", i)
	}
	await(s.t, done, "a function on the loop")
}

// onConn runs f on the connection's loop, and returns when f has. f must not
// end the test.
func onConn(t testing.TB, c *Conn, f func(*Conn)) {
	t.Helper()
	done := make(chan struct{})
	run := func(c *Conn) {
		defer close(done)
		f(c)
	}
	if !c.Call(run) {
		t.Fatal("Call after the engine has stopped")
	}
	await(t, done, "a Call")
}

// hold stops a loop, so that what happens until release is one batch for it.
func (s *testServer) hold(i int) (release func()) {
	s.t.Helper()
	stopped, resume := make(chan struct{}), make(chan struct{})
	run := func(*loop) {
		close(stopped)
		<-resume
	}
	if !s.loops[i].post(task{kind: taskLoop, run: run}) {
		s.t.Fatalf("loop %d takes no tasks", i)
	}
	await(s.t, stopped, "the loop to be held")
	release = sync.OnceFunc(func() { close(resume) })
	s.t.Cleanup(release)
	return release
}

// quiet is what a loop counts while one timer of its own runs, 50 ms long: a
// handful of events and turns if it sleeps, very many if it spins.
func (s *testServer) quiet(i int) (events, waits, stale uint64) {
	s.t.Helper()
	done := make(chan struct{})
	alarm := &timer{fire: func(*loop) { close(done) }}
	before := s.Stats().Loops[i]
	s.onLoop(i, func(l *loop) { l.timers.set(alarm, l.eng.clock()+int64(50*time.Millisecond)) })
	await(s.t, done, "a timer")
	after := s.Stats().Loops[i]
	return after.Events - before.Events, after.Waits - before.Waits, after.StaleEvents - before.StaleEvents
}

// mustBeQuiet fails the test if a loop spins.
func (s *testServer) mustBeQuiet(i int, when string) {
	s.t.Helper()
	if events, waits, _ := s.quiet(i); events > 50 || waits > 200 {
		s.t.Errorf("the loop spins while %s: %d events, %d waits in the time of one timer", when, events, waits)
	}
}

// logbook is a slog.Handler that remembers.
type logbook struct {
	mu    sync.Mutex
	lines []string // the message and "key=value" of each attribute
	more  chan struct{}
}

func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logbook) WithGroup(string) slog.Handler            { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	close(b.more)
	b.more = make(chan struct{})
	return nil
}

// find returns the lines that contain all the words.
func (b *logbook) find(words ...string) []string {
	found, _ := b.look(words)
	return found
}

func (b *logbook) look(words []string) (found []string, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			found = append(found, line)
		}
	}
	return found, b.more
}

// await waits for a line that contains all the words.
func (b *logbook) await(t testing.TB, words ...string) string {
	t.Helper()
	for {
		found, more := b.look(words)
		if len(found) > 0 {
			return found[0]
		}
		await(t, more, fmt.Sprintf("a log line with %q", words))
	}
}

// referee is a Handler around another that holds the engine to what every
// handler relies on: OnOpen first, OnClose last, each of them once, no two
// callbacks of a connection at a time, and all on its loop's thread.
type referee struct {
	Handler
	t testing.TB

	mu    sync.Mutex
	lives map[*Conn]*life
}

// life is what a referee knows of a connection.
type life struct {
	opened, closed, busy bool
	last                 string
}

func (r *referee) OnOpen(c *Conn)     { r.judge(c, "OnOpen", func() { r.Handler.OnOpen(c) }) }
func (r *referee) OnData(c *Conn)     { r.judge(c, "OnData", func() { r.Handler.OnData(c) }) }
func (r *referee) OnReadEOF(c *Conn)  { r.judge(c, "OnReadEOF", func() { r.Handler.OnReadEOF(c) }) }
func (r *referee) OnWritable(c *Conn) { r.judge(c, "OnWritable", func() { r.Handler.OnWritable(c) }) }
func (r *referee) OnWake(c *Conn)     { r.judge(c, "OnWake", func() { r.Handler.OnWake(c) }) }
func (r *referee) OnTimer(c *Conn)    { r.judge(c, "OnTimer", func() { r.Handler.OnTimer(c) }) }
func (r *referee) OnDrain(c *Conn)    { r.judge(c, "OnDrain", func() { r.Handler.OnDrain(c) }) }
func (r *referee) OnClose(c *Conn, err error) {
	r.judge(c, "OnClose", func() { r.Handler.OnClose(c, err) })
}

func (r *referee) judge(c *Conn, name string, f func()) {
	l := r.begin(c, name)
	defer r.end(l)
	f()
}

func (r *referee) begin(c *Conn, name string) *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lives[c]
	if l == nil {
		l = &life{}
		r.lives[c] = l
	}
	switch {
	case name == "OnOpen" && l.opened:
		r.t.Errorf("%v: OnOpen came twice", c.peer)
	case name != "OnOpen" && !l.opened && (name != "OnClose" || c.ep.port != nil): // a dial may fail
		r.t.Errorf("%v: %s came before OnOpen", c.peer, name)
	case l.closed:
		r.t.Errorf("%v: %s came after OnClose", c.peer, name)
	case l.busy:
		r.t.Errorf("%v: %s came during %s", c.peer, name, l.last)
	case unix.Gettid() != int(c.loop.tid.Load()):
		r.t.Errorf("%v: %s came on a thread that is not the loop's", c.peer, name)
	}
	l.opened = l.opened || name == "OnOpen"
	l.closed = l.closed || name == "OnClose"
	l.busy, l.last = true, name
	return l
}

func (r *referee) end(l *life) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.busy = false
}

// finish is for when the engine has stopped.
func (r *referee) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, l := range r.lives {
		if !l.closed {
			r.t.Errorf("%v: OnClose never came; the last callback was %s", c.peer, l.last)
		}
	}
}

// client is the other end of a connection. Its methods end the test when
// something is wrong, and so belong to the test's goroutine; net.TCPConn's own
// are for others. Everything on it fails when patience ends.
type client struct {
	*net.TCPConn
	t testing.TB
}

// dial connects to the first handler's port over IPv4.
func (s *testServer) dial() *client { s.t.Helper(); return s.dialPort(s.ports[0]) }

// dialPort connects to a port over IPv4.
func (s *testServer) dialPort(port int) *client {
	s.t.Helper()
	return dialWith(s.t, "127.0.0.1", port, nil)
}

// dialSmall connects to the first handler's port with receive buffers of the
// given size, so that the server is soon made to wait.
func (s *testServer) dialSmall(receive int) *client {
	s.t.Helper()
	return dialWith(s.t, "127.0.0.1", s.ports[0], func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive)
	})
}

// dialWith connects to a port of a loopback address with a socket that prepare
// has seen before connect(2).
func dialWith(t testing.TB, host string, port int, prepare func(fd int) error) *client {
	t.Helper()
	d := net.Dialer{Timeout: patience, KeepAlive: -1}
	if prepare != nil {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			if e := raw.Control(func(fd uintptr) { err = prepare(int(fd)) }); e != nil {
				return e
			}
			return err
		}
	}
	conn, err := d.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{TCPConn: conn.(*net.TCPConn), t: t}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// addr is the address by which the server knows the client.
func (c *client) addr() netip.AddrPort { return c.LocalAddr().(*net.TCPAddr).AddrPort() }

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// recv reads n bytes.
func (c *client) recv(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if got, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("received %d of %d bytes: %v", got, n, err)
	}
	return b
}

// recvAll reads to the end of the stream.
func (c *client) recvAll() []byte {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		c.t.Fatalf("received %d bytes: %v", len(b), err)
	}
	return b
}

// roundTrip sends, and wants the same back.
func (c *client) roundTrip(b []byte) {
	c.t.Helper()
	c.send(b)
	if got := c.recv(len(b)); !bytes.Equal(got, b) {
		c.t.Fatalf("sent %q, received %q", cut(b), cut(got))
	}
}

// reset closes the connection with a RST.
func (c *client) reset() {
	c.t.Helper()
	if err := c.SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	_ = c.Close()
}

// wantEOF wants nothing but the end of the stream.
func (c *client) wantEOF() {
	c.t.Helper()
	if b := c.recvAll(); len(b) > 0 {
		c.t.Fatalf("received %q, want the end of the stream", cut(b))
	}
}

// wantReset wants the connection to be reset, whatever comes before.
func (c *client) wantReset() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c); !errors.Is(err, unix.ECONNRESET) {
		c.t.Fatalf("received %d bytes, then %v, want a reset", n, err)
	}
}

// rawDial connects a blocking socket to a port on 127.0.0.1, for the caller to
// close: what net.Conn costs the process does not count with it.
func rawDial(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// await waits for a channel to deliver or to be closed. A hang ends the test,
// or the goroutine if that is not the test's.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	guard := time.NewTimer(patience)
	defer guard.Stop()
	select {
	case v := <-ch:
		return v
	case <-guard.C:
		stacks := make([]byte, 1<<20)
		t.Fatalf("hung: waited for %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		panic("unreachable")
	}
}

// awaitUntil waits for a condition that nobody announces, such as a counter's.
func awaitUntil(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("hung: waited until %s", what)
		}
	}
}

// awaitAll waits for a WaitGroup.
func awaitAll(t testing.TB, wg *sync.WaitGroup, what string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	await(t, done, what)
}

// soon is a context that ends when patience does.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// pattern is n bytes in which any loss, repetition or exchange shows. Patterns
// of different seeds differ.
func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// wantSame compares long byte strings, and says where they part.
func wantSame(t testing.TB, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Fatalf("got %d bytes, want %d; they part at %d", len(got), len(want), i)
}

func cut(b []byte) []byte { return b[:min(len(b), 32)] }

// openDescriptors lists the numbers of the process's open descriptors.
func openDescriptors(t testing.TB) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[int]bool)
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && isOpen(fd) {
			open[fd] = true
		}
	}
	return open
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// stranger is a socket that has taken a descriptor number, and its peer. What
// is written to the number comes out of the peer.
type stranger struct{ number, peer int }

// squat puts a stranger where a descriptor was, or says that the number is
// taken already. The stranger's peer is out of the way of low numbers.
func squat(t testing.TB, number int) (stranger, bool) {
	t.Helper()
	if isOpen(number) {
		return stranger{}, false
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]int{number, -1}
	for i := range pair {
		high, err := unix.FcntlInt(uintptr(pair[i]), unix.F_DUPFD_CLOEXEC, 800)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(pair[i])
		pair[i] = high
	}
	ends[1] = pair[1]
	if err := unix.Dup3(pair[0], number, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(pair[0])
	t.Cleanup(func() {
		_ = unix.Close(ends[0])
		_ = unix.Close(ends[1])
	})
	return stranger{number: ends[0], peer: ends[1]}, true
}

// mustBeUntouched fails the test if something was written to the stranger, or
// if it was shut down or closed.
func (s stranger) mustBeUntouched(t testing.TB) {
	t.Helper()
	buf := make([]byte, 64)
	if n, err := unix.Read(s.peer, buf); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("descriptor %d, which is somebody else's now, was written to or closed: %q, %v", s.number, buf[:max(n, 0)], err)
	}
	if _, err := unix.Write(s.peer, []byte("ping")); err != nil {
		t.Errorf("descriptor %d, which is somebody else's now, can't be written to: %v", s.number, err)
	}
	if n, err := unix.Read(s.number, buf); n != 4 || err != nil {
		t.Errorf("descriptor %d, which is somebody else's now, reads %d bytes, %v", s.number, n, err)
	}
}
