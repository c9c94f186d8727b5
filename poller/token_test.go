package poller

import (
	"fmt"
	"math"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTokenString(t *testing.T) {
	for token, want := range map[Token]string{
		WakeToken: "0.0", NewToken(7, 3): "7.3", NewToken(0, 1): "0.1",
		NewToken(math.MaxUint32, math.MaxUint32): "4294967295.4294967295",
	} {
		if got := token.String(); got != want {
			t.Errorf("%#x is %q, want %q", uint64(token), got, want)
		}
	}
}

// FuzzToken sends a token through the kernel and looks at what comes back.
func FuzzToken(f *testing.F) {
	for _, seed := range [][2]uint32{{1, 0}, {1, 1}, {0, 5}, {1 << 31, 1 << 31}, {math.MaxUint32, math.MaxUint32}} {
		f.Add(seed[0], seed[1])
	}
	p := newPoller(f)
	ready := eventfd(f, 1)
	f.Fuzz(func(t *testing.T, slot, generation uint32) {
		token := NewToken(slot, generation)
		if token.Slot() != slot || token.Generation() != generation {
			t.Fatalf("%d.%d has become %v", slot, generation, token)
		}
		var s, g uint32
		if _, err := fmt.Sscanf(token.String(), "%d.%d", &s, &g); err != nil || NewToken(s, g) != token {
			t.Fatalf("%q does not read back: %v", token, err)
		}
		err := p.Add(ready.fd, token, Readable)
		if slot == WakeToken.Slot() {
			if err == nil {
				t.Fatalf("Add took %v", token)
			}
			return
		}
		must(t, err)
		expect(t, p, map[Token]string{token: "readable"})
		must(t, p.Remove(ready.fd))
	})
}

func TestReadinessString(t *testing.T) {
	for _, c := range []struct {
		r                      Readiness
		in, out, hup, hasError bool
		want                   string
	}{
		{r: 0, want: "none"},
		{r: unix.EPOLLRDHUP | unix.EPOLLPRI, want: "none"},
		{r: unix.EPOLLIN, in: true, want: "readable"},
		{r: unix.EPOLLOUT, out: true, want: "writable"},
		{r: unix.EPOLLHUP, hup: true, want: "hungup"},
		{r: unix.EPOLLERR, hasError: true, want: "failed"},
		{
			r: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR, in: true, out: true, hup: true, hasError: true,
			want: "readable|writable|hungup|failed",
		},
	} {
		if got := c.r.String(); got != c.want {
			t.Errorf("%#x is %q, want %q", uint32(c.r), got, c.want)
		}
		if c.r.Readable() != c.in || c.r.Writable() != c.out || c.r.HungUp() != c.hup || c.r.Failed() != c.hasError {
			t.Errorf("%#x: %v %v %v %v", uint32(c.r), c.r.Readable(), c.r.Writable(), c.r.HungUp(), c.r.Failed())
		}
	}
}

func TestInterestString(t *testing.T) {
	for i, want := range map[Interest]string{
		0: "none", Readable: "readable", Writable: "writable", Readable | Writable: "readable|writable", 1 << 7: "none",
	} {
		if got := i.String(); got != want {
			t.Errorf("interest %d is %q, want %q", i, got, want)
		}
	}
}
