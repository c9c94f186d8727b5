package tlshandler_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// clientOf is a client's tls.Config that trusts ca.
func clientOf(ca *authority) *tls.Config {
	return &tls.Config{RootCAs: ca.pool, ServerName: "server"}
}

// Either side may end its half and the other go on.
func TestHalfClose(t *testing.T) {
	ended := make(chan error, 2)
	text := noise(300 << 10)
	ca, h := fixture(t, hooks{
		data: func(*engine.Conn) {}, // it is left unread
		eof: func(c *engine.Conn) {
			b, _ := c.Next(-1)
			_, _ = c.Write(b)
			c.Close()
		},
		closed: func(_ *engine.Conn, err error) { ended <- err },
	})
	r := serve(t, engine.Config{}, h)
	conn := r.dial("a", clientOf(ca))
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes came back, or others; %v", len(got), err)
	}
	_ = conn.Close()
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
}

// The server's half ends first, with close_notify, and it goes on reading.
func TestServerEndsItsHalf(t *testing.T) {
	got, ended := make(chan []byte, 1), make(chan error, 1)
	ca, h := fixture(t, hooks{
		open: func(c *engine.Conn) {
			_, _ = c.Write([]byte("your turn"))
			c.CloseWrite()
		},
		data: func(*engine.Conn) {},
		eof: func(c *engine.Conn) {
			b, _ := c.Next(-1)
			got <- bytes.Clone(b)
			if _, err := c.Write([]byte("more")); !errors.Is(err, engine.ErrClosed) {
				t.Errorf("Write after CloseWrite: %v", err)
			}
			c.Close()
		},
		closed: func(_ *engine.Conn, err error) { ended <- err },
	})
	r := serve(t, engine.Config{}, h)
	raw := r.dialRaw("a")
	seen := &recording{Conn: raw}
	conn := tls.Client(seen, clientOf(ca))
	if b, err := io.ReadAll(conn); err != nil || string(b) != "your turn" {
		t.Errorf("got %q, %v", b, err)
	}
	if seen.eof {
		t.Error("the end of file came before close_notify")
	}
	text := noise(200 << 10)
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if !bytes.Equal(await(t, got, "OnReadEOF"), text) {
		t.Error("the text differs")
	}
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
}

// recording notes what was read.
type recording struct {
	net.Conn
	size int
	eof  bool
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.size += n
	r.eof = r.eof || errors.Is(err, io.EOF)
	return n, err
}

// An end of file without close_notify, between records or within one, is an
// error, after what was before it.
func TestTruncation(t *testing.T) {
	for name, part := range map[string]int{"between records": 0, "in a header": 3, "in a record": 100} {
		t.Run(name, func(t *testing.T) {
			told, ended := make(chan string, 10), make(chan error, 1)
			ca, h := fixture(t, hooks{
				data: func(c *engine.Conn) {
					b, _ := c.Next(-1)
					told <- string(b)
				},
				eof:    func(*engine.Conn) { told <- "EOF" },
				closed: func(_ *engine.Conn, err error) { ended <- err },
			})
			r := serve(t, engine.Config{}, h)
			raw := r.dialRaw("a")
			cut := &cutOff{Conn: raw, left: -1}
			conn := tls.Client(cut, clientOf(ca))
			if _, err := conn.Write([]byte("whole")); err != nil {
				t.Fatal(err)
			}
			if got := await(t, told, "OnData"); got != "whole" {
				t.Errorf("got %q", got)
			}
			cut.left = part
			_, _ = conn.Write(noise(1000))
			_ = raw.CloseWrite()
			if err := await(t, ended, "OnClose"); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("OnClose got %v", err)
			}
			if len(told) > 0 {
				t.Errorf("the handler was told %q", <-told)
			}
		})
	}
}

// cutOff loses what is written after a number of bytes, if that is not negative.
type cutOff struct {
	net.Conn
	left int
}

func (c *cutOff) Write(p []byte) (int, error) {
	part := p
	if c.left >= 0 {
		part = p[:min(c.left, len(p))]
		c.left -= len(part)
	}
	if _, err := c.Conn.Write(part); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A client that sends all it has, and its ends, before the server's handshake is
// done, loses nothing.
func TestEverythingAtOnce(t *testing.T) {
	ca, _ := fixture(t, nil)
	start := make(chan struct{})
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}, ClientAuth: tls.RequestClientCert}
	cfg.VerifyConnection = func(tls.ConnectionState) error {
		<-start
		return nil
	}
	h := tlshandler.New(handlers.Echo{}, tlshandler.Config{GetConfig: tlshandler.Fixed(cfg)})
	r := serve(t, engine.Config{}, h)
	for _, size := range []int{10, 500 << 10} { // the second is more than is read during a handshake
		raw := r.dialRaw("a")
		conn := tls.Client(raw, clientOf(ca))
		text := noise(size)
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(text)
			if err == nil {
				err = conn.CloseWrite()
			}
			sent <- errors.Join(err, raw.CloseWrite())
			start <- struct{}{}
		}()
		if size < 1000 {
			if err := await(t, sent, "write"); err != nil {
				t.Fatal(err)
			}
		} else {
			start <- struct{}{}
			go func() { <-start }()
		}
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes came back of %d, or others; %v", len(got), size, err)
		}
		_ = conn.Close()
	}
}

// A peer that is slow to take its replies is not read meanwhile, and loses
// nothing.
func TestSlowReader(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{WriteHighWater: 4 << 10, ReadChunk: 4 << 10, WriteBufferMax: 300 << 10}, h)
	raw := r.dialRaw("a")
	if err := raw.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, clientOf(ca))
	if err := errors.Join(exchange(conn, noise(1<<20)), endInOrder(conn)); err != nil {
		t.Error(err)
	}
}

// What the engine offers works behind TLS as without: Pause, ReadInto, timers,
// wakes, writes of other goroutines and of other connections' callbacks.
func TestEngineBehindTLS(t *testing.T) {
	conns := make(chan *engine.Conn, 1)
	ca, h := fixture(t, &everything{conns: conns})
	r := serve(t, engine.Config{Loops: 1}, h) // so that one connection may write to the other
	conn := r.dial("a", clientOf(ca))
	c := await(t, conns, "OnOpen")
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Errorf("got %q, want %q; %v", got, want, err)
		}
	}
	expect("open timer ")
	c.Wake()
	expect("wake ")
	c.AsyncWrite([]byte("async "), nil)
	expect("async ")
	c.Call(func(c *engine.Conn) { c.Pause() })
	if _, err := conn.Write(append([]byte("into"), noise(100_000)...)); err != nil {
		t.Fatal(err)
	}
	c.AsyncWrite([]byte("paused "), nil)
	expect("paused ")
	c.Call(func(c *engine.Conn) { c.Resume() })
	expect(string(noise(100_000)))
	other := r.dial("a", clientOf(ca))
	await(t, conns, "OnOpen").Call(func(*engine.Conn) { _, _ = c.Write([]byte("from the other ")) })
	expect("from the other ")
	_ = other.Close()
	_, _ = conn.Write([]byte("die!"))
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a panic ended the connection in order")
	}
}

// everything says what it is called for, and answers "into" with as many bytes
// as noise has.
type everything struct {
	engine.BaseHandler
	conns chan *engine.Conn
}

func (e *everything) OnOpen(c *engine.Conn) {
	_, _ = c.Write([]byte("open "))
	c.SetTimer(time.Millisecond)
	e.conns <- c
}

func (*everything) OnTimer(c *engine.Conn) { _, _ = c.Write([]byte("timer ")) }
func (*everything) OnWake(c *engine.Conn)  { _, _ = c.Write([]byte("wake ")) }

func (*everything) OnData(c *engine.Conn) {
	word, err := c.Next(4)
	switch {
	case err != nil:
	case string(word) == "die!":
		panic("it was asked for")
	default:
		body := make([]byte, 100_000)
		c.ReadInto(body, func(c *engine.Conn) { _, _ = c.Write(body) })
	}
}

// A drain turns those away who have not begun, lets a handshake finish, and then
// tells the handler.
func TestDrainDuringTheHandshake(t *testing.T) {
	ca, _ := fixture(t, nil)
	begun, start := make(chan struct{}), make(chan struct{})
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}}
	told := make(chan string, 3)
	h := tlshandler.New(hooks{
		open: func(*engine.Conn) { told <- "open" },
		drain: func(c *engine.Conn) {
			told <- "drain"
			_, _ = c.Write([]byte("bye"))
			c.Close()
		},
	}, tlshandler.Config{GetConfig: func(*tlshandler.Hello) (*tls.Config, error) {
		begun <- struct{}{}
		<-start
		return cfg, nil
	}})
	r := serve(t, engine.Config{}, h)
	idle, half := r.dialRaw("a"), r.dialRaw("a")
	if _, err := half.Write(hello(t)[:100]); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(r.dialRaw("a"), clientOf(ca))
	got := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		got <- string(b)
	}()
	await(t, begun, "handshake")
	var drained sync.WaitGroup
	drained.Go(r.shutdown)
	for _, c := range []*net.TCPConn{idle, half} {
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
			t.Errorf("who has not begun got %q, %v", b, err)
		}
		_ = c.Close()
	}
	close(start)
	if s := await(t, got, "the last words"); s != "bye" {
		t.Errorf("got %q", s)
	}
	if first, second := await(t, told, "OnOpen"), await(t, told, "OnDrain"); first != "open" || second != "drain" {
		t.Errorf("told %s, %s", first, second)
	}
	drained.Wait()
}

// An engine that is cut off during handshakes leaves none behind.
func TestStopDuringTheHandshake(t *testing.T) {
	_, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{DrainTimeout: time.Millisecond}, h)
	greeting := hello(t)
	for range 5 {
		if _, err := r.dialRaw("a").Write(greeting); err != nil {
			t.Fatal(err)
		}
	}
	awaitStats(t, h, "5 handshakes", func(s tlshandler.Stats) bool { return s.InProgress == 5 })
	if err := r.eng.Shutdown(t.Context()); !errors.Is(err, engine.ErrDrained) {
		t.Errorf("shutdown: %v", err)
	}
	r.cut = true
	awaitStats(t, h, "end of them", func(s tlshandler.Stats) bool { return s.InProgress == 0 })
}

// Another protocol may come first: what it leaves unread is TLS, whether it is a
// part of the ClientHello or nothing.
func TestAfterAnotherProtocol(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, &starting{Handler: h})
	for _, piece := range []int{1, 100, 1 << 20} {
		conn := tls.Client(&prefixed{Conn: cutting{r.dialRaw("a"), piece}, prefix: []byte("S")}, clientOf(ca))
		if err := errors.Join(exchange(conn, noise(10_000)), endInOrder(conn)); err != nil {
			t.Error(err)
		}
	}
}

// starting starts TLS when it has read an S.
type starting struct{ *tlshandler.Handler }

func (*starting) OnOpen(*engine.Conn) {}

func (s *starting) OnData(c *engine.Conn) {
	if c.Context() != nil {
		s.Handler.OnData(c)
		return
	}
	if b, err := c.Next(1); err != nil || b[0] != 'S' {
		c.CloseNow()
		return
	}
	c.SetContext(s)
	s.Handler.OnOpen(c)
}

// prefixed writes something before the first.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix != nil {
		if _, err := p.Conn.Write(append(p.prefix, b...)); err != nil {
			return 0, err
		}
		p.prefix = nil
		return len(b), nil
	}
	return p.Conn.Write(b)
}

// A callback's small writes are one record.
func TestSmallWritesShareARecord(t *testing.T) {
	ca, h := fixture(t, hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		for i := range b {
			_, _ = c.Write(b[i : i+1])
		}
	}})
	r := serve(t, engine.Config{}, h)
	raw := &recording{Conn: r.dialRaw("a")}
	conn := tls.Client(raw, clientOf(ca))
	if err := exchange(conn, noise(500)); err != nil { // and the session tickets
		t.Fatal(err)
	}
	raw.size = 0
	if err := exchange(conn, noise(500)); err != nil {
		t.Fatal(err)
	}
	if raw.size > 600 {
		t.Errorf("500 bytes became %d", raw.size)
	}
}
