package framing_test

import (
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/framing"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

// echoes is a handler that answers each message with itself, or fails.
func echoes[T any](t *testing.T, d framing.Decoder[T], write func(*engine.Conn, T) error) func() engine.Handler {
	return func() engine.Handler {
		h, err := framing.New(d, framing.OnMessage(write))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

// Messages come out the same however they come in: lines, and frames of which the
// large ones are received straight into memory of their own.
func TestFramersConform(t *testing.T) {
	t.Run("Lines", func(t *testing.T) {
		lines := framing.Lines{Max: 100}
		handlertest.Conform(t, echoes(t, lines, lines.Write), handlertest.Script{Exchanges: []handlertest.Exchange{
			{Send: "one\n", Want: "one\n"}, {Send: "\ntw", Want: "\n"}, {Send: "o\nthree\n", Want: "two\nthree\n"},
		}})
	})
	t.Run("LengthPrefix", func(t *testing.T) {
		prefix := framing.LengthPrefix{Size: 2, Max: 20 << 10}
		frame := func(m string) string {
			b, err := prefix.Append(nil, []byte(m))
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		small, large := frame("small"), frame(strings.Repeat("large", 2<<10))
		handlertest.Conform(t, echoes(t, prefix, prefix.Write), handlertest.Script{Exchanges: []handlertest.Exchange{
			{Send: small, Want: small}, {Send: frame(""), Want: frame("")}, {Send: large + small, Want: large + small},
		}})
	})
	t.Run("HeaderBody", func(t *testing.T) {
		d := framing.HeaderBody[byte]{
			Size:  1,
			Parse: func(b []byte) (h byte, header, body int, err error) { return b[0], 1, int(b[0]), nil },
		}
		frame := func(n int) string { return string(byte(n)) + strings.Repeat("b", n) }
		write := func(c *engine.Conn, f framing.Frame[byte]) error {
			_, err := c.Write(append([]byte{f.Header}, f.Body...))
			return err
		}
		handlertest.Conform(t, echoes(t, d, write), handlertest.Script{Exchanges: []handlertest.Exchange{
			{Send: frame(3), Want: frame(3)}, {Send: frame(0) + frame(100), Want: frame(0) + frame(100)},
		}})
	})
}
