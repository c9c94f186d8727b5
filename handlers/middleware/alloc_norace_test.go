//go:build !race

package middleware_test

import (
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/nsctx"
)

// serveHome serves a handler in the process's own namespace, and connects to it.
func serveHome(tb testing.TB, h engine.Handler) net.Conn {
	tb.Helper()
	eng, err := engine.New(engine.Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = eng.Shutdown(tb.Context()) })
	if err := eng.Handle("tcp", 0, h, engine.AnyNamespace); err != nil {
		tb.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(home.Port("tcp", 0))))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// roundTrip is a message and its echo.
func roundTrip(tb testing.TB, conn net.Conn, b []byte) {
	if _, err := conn.Write(b); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(conn, b); err != nil {
		tb.Fatal(err)
	}
}

// A message through everything allocates nothing.
func TestMessagesAllocateNothing(t *testing.T) {
	conn := serveHome(t, middleware.Chain(handlers.Echo{}, all()...))
	b := make([]byte, 64)
	roundTrip(t, conn, b)
	if n := testing.AllocsPerRun(2000, func() { roundTrip(t, conn, b) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// BenchmarkMessage is a round trip through everything, and through nothing.
func BenchmarkMessage(b *testing.B) {
	for name, around := range map[string][]middleware.Middleware{"nothing": nil, "everything": all()} {
		b.Run(name, func(b *testing.B) {
			conn := serveHome(b, middleware.Chain(handlers.Echo{}, around...))
			p := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, conn, p)
			}
		})
	}
}
