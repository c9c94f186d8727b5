package handlertest

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// model is what a client of an echo knows, whatever comes between the two.
type model struct {
	c    *Conn
	sent []byte
	dead bool // it has reset
}

// FuzzEcho lets clients of an echo do anything in any order, and compares with a model:
// what comes back is what was sent, from its beginning on; all of it, once nobody is
// paused and the window is open; and nothing is stuck.
func FuzzEcho(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x05\x10\x05", "\x01\x00\x00\x80\x01\x01\x01\x01\x01\xff", "\x02\x00\x00\x20\x03\x00", "\x00\xff\x01\x00\x00\xff\x05\x00",
		"\x06\x00\x00\x40\x07\x00\x04\x00", "\x01\x00\x00\xff\x00\xff\x00\xff\x02\x00\x08\x30\x03\x00\x01\x10\x09\x00", "\x0a\x03\x00\x40\x0b\x00\x10\x40",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		var ended []error
		h := hooks{data: echo, closed: func(_ *engine.Conn, err error) { ended = append(ended, err) }}
		lp := New(t, h, Namespaces("a", "b"), WithConfig(engine.Config{WriteHighWater: 64, ReadChunk: 4 << 10, ReadBufferMax: 4 << 10}))
		models := []*model{{c: lp.Connect()}, {c: lp.Connect(Client{Namespace: "b"})}}
		for ; len(ops) >= 2; ops = ops[2:] {
			m := models[ops[0]>>4&1]
			m.do(lp, ops[0]&0xf, int(ops[1]))
			m.check(t)
		}
		for _, m := range models {
			m.finish(t)
		}
		if len(ended) != len(models) {
			t.Errorf("OnClose came %d times", len(ended))
		}
	})
}

// do is one thing that a client or its connection does.
func (m *model) do(lp *Loop, op byte, n int) {
	switch c := m.c; {
	case op <= 1 && !c.sock.eof && !m.dead: // send
		piece := bytes.Repeat([]byte{byte(len(m.sent) + n)}, n)
		for i := range piece {
			piece[i] += byte(i)
		}
		m.sent = append(m.sent, piece...)
		if op == 0 {
			c.Send(string(piece))
		} else {
			c.SendPieces(string(piece), 1, n/2, 3)
		}
	case op == 2:
		c.Window(n)
	case op == 3:
		c.Window(unlimited)
	case op == 4:
		c.CloseWrite()
	case op == 5 && n > 250:
		m.dead = m.dead || !c.ended
		c.Reset()
	case op == 6:
		m.call(engineConn.Pause)
	case op == 7:
		m.call(engineConn.Resume)
	case op == 8 && n < 50 && !c.sock.eof: // less than the linger timeout in all
		lp.Advance(time.Duration(n) * time.Millisecond)
	case op == 9:
		m.call(engineConn.Wake)
	case op == 10:
		lp.held++ // what comes now comes together
	case op == 11:
		lp.held = 0
		lp.Run()
	case op == 12:
		m.call(func(c engineConn) { c.AsyncWrite(nil, nil) })
	}
}

type engineConn = *engine.Conn

func (m *model) call(f func(engineConn)) {
	if m.c.server != nil {
		m.c.server.Call(func(c *engine.Conn) { f(c) })
		m.c.loop.Run()
	}
}

// check is what always holds.
func (m *model) check(t *testing.T) {
	t.Helper()
	if got := m.c.Received(); !bytes.HasPrefix(m.sent, got) {
		t.Fatalf("received %q, which is not how %q begins", got, m.sent)
	}
}

// finish takes away all that may hold the connection up, and then everything has come back.
func (m *model) finish(t *testing.T) {
	t.Helper()
	lp := m.c.loop
	lp.held = 0
	m.call(engineConn.Resume)
	m.c.Window(unlimited)
	if m.dead {
		if !errors.Is(m.c.err, syscall.ECONNRESET) && !errors.Is(m.c.err, syscall.EPIPE) && m.c.err != nil {
			t.Errorf("OnClose got %v", m.c.err)
		}
	} else {
		m.c.CloseWrite()
		if got := m.c.Received(); !bytes.Equal(got, m.sent) {
			t.Errorf("%d bytes came back of %d", len(got), len(m.sent))
		}
		m.c.ExpectEnd(nil)
	}
	m.check(t)
	if !m.c.ended || m.c.Unread() > 0 {
		t.Errorf("ended: %v, %d bytes are unread", m.c.ended, m.c.Unread())
	}
}
