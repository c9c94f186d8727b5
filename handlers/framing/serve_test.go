package framing

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// patience is met by a hang only.
const patience = 30 * time.Second

// rig is an engine of one loop that serves one handler at home.
type rig struct {
	eng  *engine.Engine
	port int
}

func serve(t testing.TB, cfg engine.Config, h engine.Handler) *rig {
	t.Helper()
	cfg.Loops = 1
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := eng.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	if err := eng.Handle("tcp", 0, h); err != nil {
		t.Fatal(err)
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		t.Fatal(err)
	}
	return &rig{eng, home.Port("tcp", 0)}
}

// dial connects. The connection is closed before the engine is shut down.
func (r *rig) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// send writes b, or has the test fail.
func send(t testing.TB, conn net.Conn, b []byte) {
	t.Helper()
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// arrived waits until the handler has been told of n bytes, which then came in
// a piece of their own.
func (r *rig) arrived(t testing.TB, n uint64) {
	t.Helper()
	for deadline := time.Now().Add(patience); r.eng.Stats().Namespaces[0].BytesIn < n; {
		if time.Now().After(deadline) {
			t.Fatalf("the engine has not received %d bytes", n)
		}
		time.Sleep(time.Millisecond)
	}
}

func await[T any](t testing.TB, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited for %s in vain", what)
	}
	return v
}

// noise is bytes in which a piece that is missing, doubled or moved shows.
func noise(size int, seed byte) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// server is a Handler made of functions; nil ones do what BaseHandler does.
type server[T any] struct {
	engine.BaseHandler
	open    func(c *engine.Conn)
	message func(c *engine.Conn, m T) error
	eof     func(c *engine.Conn)
	closed  chan error // gets what OnClose gets
}

func (s *server[T]) OnMessage(c *engine.Conn, m T) error { return s.message(c, m) }

func (s *server[T]) OnOpen(c *engine.Conn) {
	if s.open != nil {
		s.open(c)
	}
}

func (s *server[T]) OnReadEOF(c *engine.Conn) {
	if s.eof != nil {
		s.eof(c)
	}
	c.Close()
}

func (s *server[T]) OnClose(_ *engine.Conn, err error) { s.closed <- err }

func newServer[T any](message func(c *engine.Conn, m T) error) *server[T] {
	return &server[T]{message: message, closed: make(chan error, 1)}
}

// frame is New for what must be right.
func frame[T any](t testing.TB, d Decoder[T], h Handler[T]) *Framer[T] {
	t.Helper()
	f, err := New(d, h)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
