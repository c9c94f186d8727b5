package middleware_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

var errHook = errors.New("internal error")

// explode panics, in a function with a name to look for.
func explode(*engine.Conn) { panic("enough") }

// A hook may write a last word; what it doesn't deal with the engine does.
func TestRecover(t *testing.T) {
	for name, test := range map[string]struct {
		hook    func(*engine.Conn, any, []byte) bool
		reply   string
		end     error
		handled uint64
	}{
		"no hook":       {nil, "", engine.ErrPanic, 0},
		"hook declines": {func(*engine.Conn, any, []byte) bool { return false }, "", engine.ErrPanic, 0},
		"hook says more": {func(c *engine.Conn, _ any, _ []byte) bool {
			_, _ = c.Write([]byte("sorry"))
			c.CloseWith(errHook)
			return true
		}, "sorry", errHook, 1},
		"hook goes on": {func(c *engine.Conn, _ any, _ []byte) bool { c.Discard(c.Buffered()); return true }, "", nil, 1},
		"hook panics":  {func(*engine.Conn, any, []byte) bool { panic("too") }, "", engine.ErrPanic, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var stack string
			r := &middleware.Recover{}
			if test.hook != nil {
				r.Hook = func(c *engine.Conn, value any, s []byte) bool {
					if value != "enough" {
						t.Errorf("the hook got %v", value)
					}
					stack = string(s)
					return test.hook(c, value, s)
				}
			}
			d := &diary{}
			lp := handlertest.New(t, middleware.Chain(hooks{data: explode, closed: d.OnClose}, r.Wrap), handlertest.AllowPanics())
			c := lp.Connect()
			c.Send("x")
			c.Expect(test.reply)
			c.Close()
			c.ExpectEnd(test.end)
			d.expect(t, "c")
			if s := r.Stats(); s.Panics != 1 || s.Handled != test.handled {
				t.Errorf("stats: %+v", s)
			}
			if test.hook != nil && !strings.Contains(stack, "explode") {
				t.Errorf("the stack does not show who has panicked:\n%s", stack)
			}
			if p, ok := errors.AsType[*engine.PanicError](d.err); ok && !strings.Contains(string(p.Stack), "explode") {
				t.Errorf("the engine's stack does not show who has panicked:\n%s", p.Stack)
			}
		})
	}
}

// Each callback's panic is caught, that of OnClose included.
func TestRecoverCatchesInEveryCallback(t *testing.T) {
	var seen []any
	r := &middleware.Recover{Hook: func(c *engine.Conn, value any, _ []byte) bool {
		seen = append(seen, value)
		return true
	}}
	lp := handlertest.New(t, r.Wrap(panics{}))
	c := lp.Connect()
	c.Send("x")
	c.Server().Wake()
	lp.Run()
	c.Server().Call(func(c *engine.Conn) { c.SetTimer(1); c.Discard(1) })
	lp.Advance(1e9)
	lp.Drain()
	c.CloseWrite()
	c.Reset()
	if len(seen) != 6 {
		t.Errorf("caught %v", seen)
	}
}

type panics struct{ engine.BaseHandler }

func (panics) OnOpen(*engine.Conn)         { panic("open") }
func (panics) OnData(*engine.Conn)         { panic("data") }
func (panics) OnWake(*engine.Conn)         { panic("wake") }
func (panics) OnTimer(*engine.Conn)        { panic("timer") }
func (panics) OnDrain(*engine.Conn)        { panic("drain") }
func (panics) OnReadEOF(c *engine.Conn)    { panic("eof") }
func (panics) OnClose(*engine.Conn, error) {}
