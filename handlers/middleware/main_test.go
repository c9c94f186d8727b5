package middleware_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// hooks is a Handler made of functions; one that is nil does what BaseHandler does.
type hooks struct {
	engine.BaseHandler
	open, data, eof, drain func(*engine.Conn)
	closed                 func(*engine.Conn, error)
}

func call(f, otherwise func(*engine.Conn), c *engine.Conn) {
	if f == nil {
		f = otherwise
	}
	f(c)
}

func (h hooks) OnOpen(c *engine.Conn)    { call(h.open, h.BaseHandler.OnOpen, c) }
func (h hooks) OnData(c *engine.Conn)    { call(h.data, echo, c) }
func (h hooks) OnReadEOF(c *engine.Conn) { call(h.eof, h.BaseHandler.OnReadEOF, c) }
func (h hooks) OnDrain(c *engine.Conn)   { call(h.drain, h.BaseHandler.OnDrain, c) }
func (h hooks) OnClose(c *engine.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

func echo(c *engine.Conn) {
	b, _ := c.Next(-1)
	_, _ = c.Write(b)
}

// diary notes each callback by its letter.
type diary struct {
	calls []byte
	err   error
}

func (d *diary) note(letter byte) { d.calls = append(d.calls, letter) }

func (d *diary) OnOpen(*engine.Conn) { d.note('o') }
func (d *diary) OnData(c *engine.Conn) {
	d.note('d')
	echo(c)
}

func (d *diary) OnReadEOF(c *engine.Conn) {
	d.note('e')
	c.Close()
}
func (d *diary) OnWritable(*engine.Conn) { d.note('w') }
func (d *diary) OnWake(*engine.Conn)     { d.note('k') }
func (d *diary) OnTimer(*engine.Conn)    { d.note('t') }
func (d *diary) OnDrain(c *engine.Conn) {
	d.note('r')
	c.Close()
}

func (d *diary) OnClose(_ *engine.Conn, err error) {
	d.note('c')
	d.err = err
}

func (d *diary) expect(t *testing.T, want string) {
	t.Helper()
	if string(d.calls) != want {
		t.Errorf("the handler's callbacks are %q, want %q", d.calls, want)
	}
}
