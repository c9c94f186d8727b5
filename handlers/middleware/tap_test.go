package middleware_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

func TestTapShowsBothDirections(t *testing.T) {
	var b bytes.Buffer
	tap := &middleware.Tap{Writer: &b}
	lp := handlertest.New(t, tap.Wrap(hooks{}))
	c := lp.Connect(from("a", "10.0.0.1:1"))
	c.SendPieces("hello\n\x00", 6)
	c.Close()
	want := `a 10.0.0.1:1 open, port 7000
a 10.0.0.1:1 in 0+6 "hello\n"
a 10.0.0.1:1 out 0+6 "hello\n"
a 10.0.0.1:1 in 6+1 "\x00"
a 10.0.0.1:1 out 6+1 "\x00"
a 10.0.0.1:1 closed: <nil>
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}

func TestTapShowsNoMoreThanItMay(t *testing.T) {
	for _, most := range []int{3, 4} {
		var b bytes.Buffer
		tap := &middleware.Tap{Writer: &b, MaxBytes: most}
		lp := handlertest.New(t, tap.Wrap(hooks{data: func(c *engine.Conn) { c.Discard(c.Buffered()) }}))
		lp.Connect(from("a", "10.0.0.1:1")).SendPieces("abcdefghi", 2, 2, 2)
		want := "a 10.0.0.1:1 in 0+2 \"ab\"\na 10.0.0.1:1 in 2+2 " + fmt.Sprintf("%q", "cd"[:most-2]) +
			fmt.Sprintf("\na 10.0.0.1:1 in %d: no more is shown\n", most)
		if _, got, _ := strings.Cut(b.String(), "7000\n"); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestTapInHex(t *testing.T) {
	var b bytes.Buffer
	tap := &middleware.Tap{Writer: &b, Hex: true, Match: func(c *engine.Conn) bool { return c.Namespace().Name() == "b" }}
	lp := handlertest.New(t, tap.Wrap(hooks{}), handlertest.Namespaces("a", "b"))
	lp.Connect(from("a", "10.0.0.1:1")).Send("x")
	lp.Connect(from("b", "10.0.0.1:2")).Send("hello")
	if s := b.String(); !strings.Contains(s, "b 10.0.0.1:2 in 0+5 \n00000000  68 65 6c 6c 6f") || strings.Contains(s, "10.0.0.1:1") {
		t.Errorf("got\n%s", s)
	}
}

var errFull = errors.New("disk full")

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errFull }

func TestTapOfABrokenWriter(t *testing.T) {
	w := &broken{}
	tap := &middleware.Tap{Writer: w}
	c := handlertest.New(t, tap.Wrap(hooks{})).Connect()
	c.Send("x")
	c.Expect("x")
	if !errors.Is(tap.Err(), errFull) || w.writes != 1 {
		t.Errorf("%d writes, and the error is %v", w.writes, tap.Err())
	}
}
