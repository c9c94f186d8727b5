package framing

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

// What is wrong with a stream is counted by what it is.
func TestFaultsAreCounted(t *testing.T) {
	noNumber := errors.New("no number")
	h, err := New(Map(LengthPrefix{Size: 1, Adjust: -1, Max: 100}, func(m []byte) (string, error) {
		if string(m) == "x" {
			return "", &Error{Err: noNumber}
		}
		return string(m), nil
	}), OnMessage(func(*engine.Conn, string) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	lp := handlertest.New(t, h)
	for _, test := range []struct {
		send, kind string
		end        bool
		want       error
	}{
		{"\xff", "frame_too_long", false, ErrTooLong},
		{"\x00", "frame_length", false, ErrBadLength},
		{"\x05ab", "frame_truncated", true, ErrTruncated},
		{"\x02x", "frame", false, noNumber},
		{"\x02y", "", true, nil},
	} {
		c := lp.Connect()
		c.Send(test.send)
		if test.end {
			c.CloseWrite()
		}
		c.ExpectEnd(test.want)
		if err, _ := c.Ended(); test.kind != "" {
			if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Kind() != test.kind {
				t.Errorf("%q: %v is not %s", test.send, err, test.kind)
			}
		}
	}
	if got, want := h.Stats(), (Stats{1, 1, 1, 1}); got != want {
		t.Errorf("%+v", got)
	}
	for _, s := range h.Counters() {
		if s.N != 1 || s.Label != "fault" {
			t.Errorf("%+v", s)
		}
	}
}

// A message that is announced and not sent has no more memory set aside than what
// it has sent, and a little: five bytes once had twice the limit.
func TestAnnouncingIsNotEnough(t *testing.T) {
	const size = 4 << 20
	var got int
	h, err := New(LengthPrefix{Size: 4, Max: size}, OnMessage(func(_ *engine.Conn, m []byte) error {
		got = len(m)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	lp := handlertest.New(t, h)
	c := lp.Connect()
	held := func() int { return cap(h.state(c.Server()).body) }
	c.Send("\x00\x40\x00\x00a")
	if n := held(); n > 2*firstRoom {
		t.Errorf("%d bytes for five", n)
	}
	c.Send(strings.Repeat("a", size/4))
	if n := held(); n > size {
		t.Errorf("%d bytes for %d", n, size/4)
	}
	c.Send(strings.Repeat("a", size-size/4-1))
	if got != size {
		t.Errorf("got %d bytes", got)
	}
	c.Close()
}
