package engine

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// mishap is what a handler should not do.
type mishap struct {
	name string
	do   func()
	// what OnClose's PanicError is to carry
	value any
}

var errBoom = errors.New("boom")

var aPanic = mishap{"panic", func() { panic(errBoom) }, errBoom}

func TestHandlerPanicCostsItsConnection(t *testing.T) { testHandlerMishap(t, aPanic) }
func TestPanicInOnClose(t *testing.T)                 { testMishapInOnClose(t, aPanic) }

// A handler that panics, or ends its goroutine, loses its connection and
// nothing else: OnClose gets the panic with its stack, the others of the same
// loop are served on, and the engine counts. (gnet has no isolation: a panic
// ends the process.)
func testHandlerMishap(t *testing.T, m mishap) {
	for _, place := range []struct {
		name  string
		hooks func(do func(*Conn)) hooks
		bring func(*testServer, *client, *Conn)
	}{
		{
			"OnOpen", func(do func(*Conn)) hooks { return hooks{open: do} },
			func(*testServer, *client, *Conn) {},
		},
		{
			"OnData", func(do func(*Conn)) hooks { return hooks{data: do} },
			func(_ *testServer, c *client, _ *Conn) { c.send([]byte("x")) },
		},
		{
			"OnData after a Write", func(do func(*Conn)) hooks {
				return hooks{data: func(c *Conn) { _, _ = c.Write([]byte("x")); do(c) }}
			},
			func(_ *testServer, c *client, _ *Conn) { c.send([]byte("x")) },
		},
		{
			"OnReadEOF", func(do func(*Conn)) hooks { return hooks{eof: do} },
			func(_ *testServer, c *client, _ *Conn) { _ = c.CloseWrite() },
		},
		{
			"OnWritable", func(do func(*Conn)) hooks { return hooks{writable: do} },
			func(s *testServer, c *client, conn *Conn) {
				onConn(s.t, conn, func(c *Conn) { _, _ = c.Write(make([]byte, 16<<20)) })
				go func() { _, _ = io.Copy(io.Discard, c) }()
			},
		},
		{
			"OnWake", func(do func(*Conn)) hooks { return hooks{wake: do} },
			func(_ *testServer, _ *client, conn *Conn) { conn.Wake() },
		},
		{
			"OnTimer", func(do func(*Conn)) hooks { return hooks{timer: do} },
			func(_ *testServer, _ *client, conn *Conn) {
				conn.Call(func(c *Conn) { c.SetTimer(time.Millisecond) })
			},
		},
		{
			"a Call", func(do func(*Conn)) hooks { return hooks{wake: do} },
			func(_ *testServer, _ *client, conn *Conn) { conn.Call(conn.ep.handler.OnWake) },
		},
		{
			"an AsyncWrite's done", func(do func(*Conn)) hooks { return hooks{wake: do} },
			func(_ *testServer, _ *client, conn *Conn) {
				conn.AsyncWrite([]byte("x"), func(error) { conn.ep.handler.OnWake(conn) })
			},
		},
	} {
		t.Run(m.name+" in "+place.name, func(t *testing.T) {
			opened, ended := make(chan *Conn, 1), make(chan error, 2)
			dialled := make(chan struct{}) // a reset before that would make dial fail
			h := place.hooks(func(*Conn) { m.do() })
			misbehave := h.open
			h.open = func(c *Conn) {
				opened <- c
				<-dialled
				if misbehave != nil {
					misbehave(c)
				}
			}
			h.closed = func(_ *Conn, err error) { ended <- err }
			s := startServer(t, Config{}, h, hooks{data: echo})
			good := s.dialPort(s.ports[1])
			good.roundTrip([]byte("before"))
			bad := s.dial()
			close(dialled)
			place.bring(s, bad, await(t, opened, "OnOpen"))

			err := await(t, ended, "OnClose")
			var p *PanicError
			if !errors.Is(err, ErrPanic) || !errors.As(err, &p) {
				t.Fatalf("OnClose got %v, want an ErrPanic", err)
			}
			if p.Value != m.value {
				t.Errorf("the panic's value is %v, want %v", p.Value, m.value)
			}
			if boom, ok := m.value.(error); ok && !errors.Is(err, boom) {
				t.Errorf("%v does not lead to the error that the handler panicked with", err)
			}
			if !strings.Contains(string(p.Stack), "e2e_panic_test.go") && !strings.Contains(string(p.Stack), "Goexit") {
				t.Errorf("the stack does not lead to the handler:\n%s", p.Stack)
			}
			_, _ = io.Copy(io.Discard, bad) // to its end, however it comes
			for range 5 {
				good.roundTrip([]byte("after"))
				s.dialPort(s.ports[1]).roundTrip([]byte("a newcomer"))
			}
			if n := s.loopStats().Panics; n != 1 {
				t.Errorf("%d panics counted, want 1", n)
			}
			if n := s.stats().Errors[ErrorPanic]; n != 1 {
				t.Errorf("%d panics counted for the namespace, want 1", n)
			}
			s.log.await(t, "handler panicked", "netns=home", bad.addr().String())
			select {
			case err := <-ended:
				t.Errorf("OnClose came again: %v", err)
			default:
			}
		})
	}
}

// OnClose itself may panic or end its goroutine: it was called, and is not
// called again; the others are served on, and the descriptor is closed.
func testMishapInOnClose(t *testing.T, m mishap) {
	for _, end := range []struct {
		name string
		end  func(*client, *Conn)
	}{
		{"the peer closes", func(c *client, _ *Conn) { _ = c.CloseWrite() }},
		{"CloseNow", func(_ *client, conn *Conn) { conn.CloseNow() }},
		{"a panic", func(_ *client, conn *Conn) { conn.Call(func(*Conn) { panic("the first one") }) }},
		{"a timeout", func(_ *client, conn *Conn) { conn.Call(func(c *Conn) { c.SetDeadline(time.Now()) }) }},
	} {
		t.Run(m.name+" after "+end.name, func(t *testing.T) {
			opened := make(chan *Conn, 1)
			ended := make(chan error, 2)
			s := startServer(t, Config{}, hooks{
				open:   func(c *Conn) { opened <- c },
				closed: func(_ *Conn, err error) { ended <- err; m.do() },
			}, hooks{data: echo})
			good := s.dialPort(s.ports[1])
			good.roundTrip([]byte("before"))
			client := s.dial()
			end.end(client, await(t, opened, "OnOpen"))
			_ = await(t, ended, "OnClose")
			_, _ = io.Copy(io.Discard, client) // ends only if the descriptor is closed
			for range 5 {
				good.roundTrip([]byte("after"))
			}
			if st := s.stats(); st.Conns != 1 {
				t.Errorf("%d connections are open, want the good one", st.Conns)
			}
			if s.loopStats().Panics == 0 {
				t.Error("no panic counted")
			}
			select {
			case err := <-ended:
				t.Errorf("OnClose came again: %v", err)
			default:
			}
		})
	}
}

// A panic in OnDrain costs its connection, and the others are told of the drain
// and finish.
func TestPanicInOnDrain(t *testing.T) {
	const n = 10
	told := make(chan struct{}, n)
	s := startServer(t, Config{}, hooks{data: echo, drain: func(c *Conn) {
		told <- struct{}{}
		if len(told)%2 == 1 {
			panic(errBoom)
		}
		c.Close()
	}})
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = s.dial()
		clients[i].roundTrip([]byte("hello"))
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(soon(t)) }()
	for _, c := range clients {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if err := await(t, stopped, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if len(told) != n {
		t.Errorf("%d of %d were told of the drain", len(told), n)
	}
	if got := s.loopStats().Panics; got != n/2 {
		t.Errorf("%d panics counted, want %d", got, n/2)
	}
}
