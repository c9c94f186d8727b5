package gnethandler_test

import (
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/gnethandler"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
)

// A gnet handler is as good a handler as its author has made it.
func TestConforms(t *testing.T) {
	made := func(events gnet.EventHandler) func() engine.Handler {
		h, err := gnethandler.New(events, gnethandler.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return func() engine.Handler { return h }
	}
	t.Run("protocol", func(t *testing.T) {
		long := strings.Repeat("a long one ", 500)
		handlertest.Conform(t, made(new(protocol)), handlertest.Script{Exchanges: []handlertest.Exchange{
			{Send: frame("hello"), Want: frame("olleh")},
			{Send: frame(""), Want: frame("")},
			{Send: frame(long), Want: frame(reversed(long))},
			{Send: frame("x"), Want: frame("x")},
		}})
	})
	t.Run("web", func(t *testing.T) {
		handlertest.Conform(t, made(new(web)), handlertest.Script{Exchanges: []handlertest.Exchange{
			{Send: "GET /10 HTTP/1.1\r\n\r\n", Want: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"},
			{Send: "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", Want: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		}})
	})
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
