package handlers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
)

// noise is bytes in which a piece that is missing, doubled or moved shows.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// send writes all of it, then shuts the write half down.
func send(conn *net.TCPConn, b []byte) error {
	if _, err := conn.Write(b); err != nil {
		return err
	}
	return conn.CloseWrite()
}

func TestEchoSendsBackEveryByte(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Echo{})
	for _, size := range []int{0, 1, 1000, 8 << 10, 64 << 10, 64<<10 + 1, 5 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { exchange(t, r.dial(t), noise(size)) })
	}
}

// A peer that is slow to take its replies is not read meanwhile, and loses
// nothing by it.
func TestEchoWaitsForSlowPeer(t *testing.T) {
	r := serve(t, engine.Config{Loops: 1, WriteHighWater: 4 << 10, ReadChunk: 4 << 10}, handlers.Echo{}, engine.AnyNamespace)
	conn := r.dial(t)
	if err := conn.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, noise(1<<20))
}

func TestEchoServesManyAtOnce(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Echo{})
	var clients sync.WaitGroup
	for i := range 50 {
		conn := r.dial(t)
		clients.Go(func() { exchange(t, conn, noise(i*1000)) })
	}
	clients.Wait()
}

// exchange sends while it receives, and wants the same back and then the end.
func exchange(t *testing.T, conn *net.TCPConn, sent []byte) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() { wrote <- send(conn, sent) }()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Error("read:", err)
	}
	if err := <-wrote; err != nil {
		t.Error("write:", err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, or others", len(got), len(sent))
	}
}

// The replies go out also when the peer has shut down its half before it reads
// the first of them.
func TestEchoAnswersAfterHalfClose(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Echo{})
	conn := r.dial(t)
	sent := noise(200 << 10)
	if err := send(conn, sent); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, or others; err %v", len(got), len(sent), err)
	}
}

// A reply that the write buffer has no room for ends the connection, visibly:
// it must not be left out of the stream.
func TestEchoResetsOnOverflow(t *testing.T) {
	r := serve(t, engine.Config{WriteHighWater: 4, WriteBufferMax: 4}, handlers.Echo{})
	conn := r.dial(t)
	if _, err := conn.Write([]byte("too long")); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, err %v; want a reset", n, err)
	}
	if got := r.stats(t).Errors[engine.ErrorOverflow]; got != 1 {
		t.Errorf("%d overflows counted, not 1", got)
	}
}

func TestEchoEndsWhenDrained(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Echo{})
	conn := r.dial(t)
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	var drained sync.WaitGroup
	drained.Go(func() { r.shutdown(t) })
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, err %v; want the end", n, err)
	}
	_ = conn.Close()
	drained.Wait()
}

func TestDiscardTakesAllAndSaysNothing(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Discard{})
	conn := r.dial(t)
	sent := noise(1 << 20)
	if err := send(conn, sent); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || len(got) != 0 {
		t.Errorf("%d bytes came back, err %v", len(got), err)
	}
	if s := r.stats(t); s.BytesIn != uint64(len(sent)) || s.BytesOut != 0 {
		t.Errorf("received %d, sent %d; want %d and 0", s.BytesIn, s.BytesOut, len(sent))
	}
}
