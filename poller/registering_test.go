package poller

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	tokenA = NewToken(1, 7)
	tokenB = NewToken(2, 9)
)

func TestLevelTriggeredRepeats(t *testing.T) {
	p := newPoller(t)
	a, b := pair(t)
	must(t, p.Add(a.fd, tokenA, Readable))
	expect(t, p, nil)

	b.write("two")
	for range 3 {
		expect(t, p, map[Token]string{tokenA: "readable"})
	}
	var half [1]byte
	_, err := unix.Read(a.fd, half[:])
	must(t, err)
	expect(t, p, map[Token]string{tokenA: "readable"}) // some is left
	a.read()
	expect(t, p, nil)

	must(t, p.Modify(a.fd, tokenA, Writable))
	for range 3 {
		expect(t, p, map[Token]string{tokenA: "writable"})
	}
}

func TestInterestDecidesWhatIsHeard(t *testing.T) {
	for _, c := range []struct {
		interest Interest
		want     string
	}{
		{0, ""},
		{Readable, "readable"},
		{Writable, "writable"},
		{Readable | Writable, "readable|writable"},
	} {
		t.Run(c.interest.String(), func(t *testing.T) {
			want := map[Token]string{tokenA: c.want}
			if c.want == "" {
				want = nil
			}
			a, b := pair(t)
			b.write("x") // a is ready for everything

			p := newPoller(t)
			must(t, p.Add(a.fd, tokenA, c.interest))
			expect(t, p, want)
			must(t, p.Remove(a.fd))
			must(t, p.Add(a.fd, tokenA, ^c.interest))
			must(t, p.Modify(a.fd, tokenA, c.interest))
			expect(t, p, want)
		})
	}
}

func TestFullDescriptorIsNotWritable(t *testing.T) {
	p := newPoller(t)
	r, w := pipe(t)
	must(t, p.Add(w.fd, tokenA, Writable))
	expect(t, p, map[Token]string{tokenA: "writable"})
	chunk := make([]byte, 4096)
	var err error
	for err == nil {
		_, err = unix.Write(w.fd, chunk)
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	expect(t, p, nil)
	for err = nil; err == nil; {
		_, err = unix.Read(r.fd, chunk)
	}
	expect(t, p, map[Token]string{tokenA: "writable"})
}

// A half-closed peer is readable, not hung up, and what it sent is still there.
func TestHalfCloseIsReadable(t *testing.T) {
	p := newPoller(t)
	a, b := pair(t)
	must(t, p.Add(a.fd, tokenA, Readable))
	b.write("last words")
	must(t, unix.Shutdown(b.fd, unix.SHUT_WR))
	expect(t, p, map[Token]string{tokenA: "readable"})
	if got := a.read(); got != "last words" {
		t.Fatalf("read %q", got)
	}
	expect(t, p, map[Token]string{tokenA: "readable"}) // the end of the stream
	if got := a.read(); got != "" {
		t.Fatalf("read %q after the end", got)
	}
	must(t, p.Modify(a.fd, tokenA, 0))
	expect(t, p, nil)
}

func TestHangUpCannotBeMasked(t *testing.T) {
	p := newPoller(t)
	a, b := pair(t)
	must(t, p.Add(a.fd, tokenA, Readable))
	b.write("last words")
	b.close()
	expect(t, p, map[Token]string{tokenA: "readable|hungup"})
	if got := a.read(); got != "last words" {
		t.Fatalf("read %q", got)
	}
	must(t, p.Modify(a.fd, tokenA, 0))
	expect(t, p, map[Token]string{tokenA: "hungup"})
	must(t, p.Remove(a.fd))
	expect(t, p, nil)
}

func TestFailureCannotBeMasked(t *testing.T) {
	p := newPoller(t)
	r, w := pipe(t)
	must(t, p.Add(w.fd, tokenA, 0))
	expect(t, p, nil)
	r.close()
	expect(t, p, map[Token]string{tokenA: "failed"})
	must(t, p.Modify(w.fd, tokenA, Writable))
	expect(t, p, map[Token]string{tokenA: "writable|failed"})
}

func TestResetFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	s := newFile(t, fd)
	must(t, unix.Connect(s.fd, &unix.SockaddrInet4{
		Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1},
	}))
	peer, err := ln.Accept()
	must(t, err)
	must(t, peer.(*net.TCPConn).SetLinger(0)) // close(2) will send a RST

	p := newPoller(t)
	must(t, p.Add(s.fd, tokenA, 0))
	expect(t, p, nil)
	must(t, peer.Close())
	if got := await(t, p)[tokenA]; !got.Failed() || !got.HungUp() {
		t.Fatalf("a reset connection is %v, want failed and hung up", got)
	}
	if e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || unix.Errno(e) != unix.ECONNRESET {
		t.Fatalf("its error is %v, %v", unix.Errno(e), err)
	}
}

func TestModifyReplacesInterestAndToken(t *testing.T) {
	p := newPoller(t)
	a, b := pair(t)
	b.write("x")
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, p.Modify(a.fd, tokenB, Writable))
	expect(t, p, map[Token]string{tokenB: "writable"})
	must(t, p.Modify(a.fd, tokenA, Readable))
	expect(t, p, map[Token]string{tokenA: "readable"})
}

func TestRemoveSilencesUntilAddedAgain(t *testing.T) {
	p := newPoller(t)
	a, b := eventfd(t, 1), eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, p.Add(b.fd, tokenB, Readable))
	must(t, p.Remove(a.fd))
	expect(t, p, map[Token]string{tokenB: "readable"})
	must(t, p.Add(a.fd, tokenA, Readable))
	expect(t, p, map[Token]string{tokenA: "readable", tokenB: "readable"})
}

// libuv joyent#1099: what is closed without being removed fires on, as long as
// a duplicate lives.
func TestDuplicateIsSilentAfterRemove(t *testing.T) {
	duplicated := func(t *testing.T, p *Poller) (a *file) {
		a, b := pair(t)
		must(t, p.Add(a.fd, tokenA, Readable))
		fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
		must(t, err)
		newFile(t, fd)
		b.write("x")
		return a
	}
	t.Run("removed", func(t *testing.T) {
		p := newPoller(t)
		a := duplicated(t, p)
		expect(t, p, map[Token]string{tokenA: "readable"})
		must(t, p.Remove(a.fd))
		a.close()
		expect(t, p, nil)
	})
	t.Run("closed only", func(t *testing.T) { // why Remove exists
		p := newPoller(t)
		duplicated(t, p).close()
		expect(t, p, map[Token]string{tokenA: "readable"})
	})
}

// golang #59545: an event of a descriptor that was closed must be told from one
// of the descriptor that has taken its number and its slot.
func TestEventCarriesItsOwnGeneration(t *testing.T) {
	const slot = 5
	p := newPoller(t)
	old := eventfd(t, 1)
	must(t, p.Add(old.fd, NewToken(slot, 1), Readable))
	events, err := p.Wait(0)
	must(t, err)

	number := old.fd
	must(t, p.Remove(old.fd))
	fresh := eventfd(t, 1)
	must(t, unix.Dup3(fresh.fd, number, unix.O_CLOEXEC)) // closes the old one
	must(t, p.Add(number, NewToken(slot, 2), Readable))

	if got := byToken(t, events); len(got) != 1 || !got[NewToken(slot, 1)].Readable() {
		t.Fatalf("the old event is now %v", got)
	}
	expect(t, p, map[Token]string{NewToken(slot, 2): "readable"})
	must(t, p.Modify(number, NewToken(slot, 1<<31), Readable)) // all 32 bits count
	expect(t, p, map[Token]string{NewToken(slot, 1<<31): "readable"})
}

func TestSlotOfTheWakerIsRefused(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 1)
	for _, generation := range []uint32{0, 1, 1 << 31, ^uint32(0)} {
		if err := p.Add(a.fd, NewToken(0, generation), Readable); err == nil {
			t.Fatalf("Add took slot 0 in generation %d", generation)
		}
	}
	must(t, p.Add(a.fd, tokenA, Readable))
	if err := p.Modify(a.fd, WakeToken, Readable); err == nil {
		t.Fatal("Modify took slot 0")
	}
	expect(t, p, map[Token]string{tokenA: "readable"})
}

func TestRefusals(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 0)
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	must(t, err)
	defer plain.Close()
	for _, c := range []struct {
		name string
		call func() error
		want error
	}{
		{"modify what was not added", func() error { return p.Modify(a.fd, tokenA, Readable) }, unix.ENOENT},
		{"remove what was not added", func() error { return p.Remove(a.fd) }, unix.ENOENT},
		{"add", func() error { return p.Add(a.fd, tokenA, Readable) }, nil},
		{"add twice", func() error { return p.Add(a.fd, tokenB, Readable) }, unix.EEXIST},
		{"remove", func() error { return p.Remove(a.fd) }, nil},
		{"remove twice", func() error { return p.Remove(a.fd) }, unix.ENOENT},
		{"a closed descriptor", func() error { return p.Add(-1, tokenA, Readable) }, unix.EBADF},
		{"a plain file", func() error { return p.Add(int(plain.Fd()), tokenA, Readable) }, unix.EPERM},
	} {
		err := c.call()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if sys := (*os.SyscallError)(nil); c.want != nil && (!errors.As(err, &sys) || sys.Syscall != "epoll_ctl") {
			t.Errorf("%s: %v is no epoll_ctl SyscallError", c.name, err)
		}
	}
}

func TestAddReachesABlockedWait(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 1)
	added := make(chan error, 1)
	go func() { added <- p.Add(a.fd, tokenA, Readable) }()
	got := await(t, p)
	must(t, <-added)
	if len(got) != 1 || !got[tokenA].Readable() {
		t.Fatalf("Wait says %v", got)
	}
}

func TestPollersDoNotShareRegistrations(t *testing.T) {
	p, q := newPoller(t), newPoller(t)
	a := eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	must(t, q.Add(a.fd, tokenB, Readable))
	expect(t, p, map[Token]string{tokenA: "readable"})
	expect(t, q, map[Token]string{tokenB: "readable"})
	must(t, p.Remove(a.fd))
	expect(t, p, nil)
	expect(t, q, map[Token]string{tokenB: "readable"})
}
