package middleware_test

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// all is one of everything, that lets everything pass.
func all() []middleware.Middleware {
	recovers := &middleware.Recover{}
	proxy := &middleware.ProxyProtocol{Policy: func(*engine.Conn) middleware.ProxyPolicy { return middleware.ProxyOptional }}
	limits := &middleware.Limits{PerNamespace: 1000, PerPeer: 100}
	times := &middleware.Timeouts{First: 24 * time.Hour, Total: 48 * time.Hour}
	rates := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 1e9}, Bytes: middleware.Rate{PerSecond: 1e12}}
	log := &middleware.AccessLog{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	return []middleware.Middleware{recovers.Wrap, log.Wrap, proxy.Wrap, limits.Wrap, times.Wrap, rates.Wrap}
}

// Through everything, a handler is the same to its peers in every way that a network knows.
func TestConform(t *testing.T) {
	handlertest.Conform(t, func() engine.Handler { return middleware.Chain(handlers.Echo{}, all()...) }, handlertest.Script{
		Exchanges: []handlertest.Exchange{{Send: "hello", Want: "hello"}, {Send: "world\r\n", Want: "world\r\n"}, {Send: "PROX", Want: "PROX"}},
	})
}

// greeting is a middleware as a third party writes it.
type greeting struct{ middleware.Base }

func (g *greeting) OnOpen(c *engine.Conn) {
	_, _ = c.Write([]byte("hello "))
	g.Base.OnOpen(c)
}

func greet(h engine.Handler) engine.Handler { return &greeting{middleware.Base{Handler: h}} }

var errRefused = errors.New("refused")

// doorman refuses every connection.
type doorman struct {
	middleware.Base
	reply string
}

func (d *doorman) OnOpen(c *engine.Conn) { d.RefuseWith(c, []byte(d.reply), errRefused) }

func refuse(reply string) middleware.Middleware {
	return func(h engine.Handler) engine.Handler { return &doorman{middleware.Base{Handler: h}, reply} }
}

func TestChainPassesEveryCallbackOn(t *testing.T) {
	for name, around := range map[string][]middleware.Middleware{"nothing": nil, "everything": all()} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			lp := handlertest.New(t, middleware.Chain(d, around...), handlertest.WithConfig(engine.Config{WriteHighWater: 4}))
			c := lp.Connect()
			c.Send("x")
			c.Expect("x")
			c.Server().Wake()
			lp.Run()
			c.Server().Call(func(c *engine.Conn) { c.SetTimer(time.Second) })
			lp.Advance(time.Second)
			c.Window(0)
			c.Send("hello, world")
			c.Window(-1)
			lp.Drain()
			c.Close()
			d.expect(t, "odktdwrc")
		})
	}
}

func TestFirstIsOutermost(t *testing.T) {
	lp := handlertest.New(t, middleware.Chain(hooks{open: func(c *engine.Conn) { _, _ = c.Write([]byte("there")) }}, greet))
	lp.Connect().Expect("hello there")

	d := &diary{}
	lp = handlertest.New(t, middleware.Chain(d, refuse("go away"), greet))
	c := lp.Connect()
	c.Close()
	c.Expect("go away")
	c.ExpectEnd(errRefused)
	d.expect(t, "")
}

// The handler inside never hears of a connection that is refused; those around it do.
func TestRefusedConnectionsAreNotTheHandlers(t *testing.T) {
	for name, reply := range map[string]string{"reset": "", "reply": "bye"} {
		t.Run(name, func(t *testing.T) {
			inside, around := &diary{}, &diary{}
			lp := handlertest.New(t, around.around(middleware.Chain(inside, refuse(reply))))
			c := lp.Connect()
			c.Expect(reply)
			if c.WasReset() != (reply == "") {
				t.Errorf("the client received a reset: %v", c.WasReset())
			}
			c.Close()
			c.ExpectEnd(errRefused)
			inside.expect(t, "")
			around.expect(t, "oc")
		})
	}
}

// around notes the callbacks on their way to h.
func (d *diary) around(h engine.Handler) engine.Handler {
	return hooks{
		open:   func(c *engine.Conn) { d.note('o'); h.OnOpen(c) },
		data:   func(c *engine.Conn) { d.note('d'); h.OnData(c) },
		eof:    func(c *engine.Conn) { d.note('e'); h.OnReadEOF(c) },
		drain:  func(c *engine.Conn) { d.note('r'); h.OnDrain(c) },
		closed: func(c *engine.Conn, err error) { d.note('c'); d.err = err; h.OnClose(c, err) },
	}
}

// A connection that fails before it was opened is told to all, as without middleware.
func TestFailureBeforeOpen(t *testing.T) {
	d := &diary{}
	lp := handlertest.New(t, middleware.Chain(d, all()...))
	lp.Refuse("a", errRefused)
	lp.Connect().ExpectEnd(engine.ErrSwitch)
	d.expect(t, "c")
}

// password is a Gate: the handler has the connection when the word has come.
type password struct {
	middleware.Gate
	word string
}

func (p *password) OnOpen(c *engine.Conn) { p.Wait(c) }

func (p *password) OnData(c *engine.Conn) {
	if p.Waiting(c) {
		p.check(c)
		return
	}
	p.Gate.OnData(c)
}

func (p *password) check(c *engine.Conn) {
	b, _ := c.Peek(-1)
	if len(b) < len(p.word) {
		return
	}
	c.Discard(len(p.word))
	p.Open(c)
}

func (p *password) OnReadEOF(c *engine.Conn) {
	p.Gate.OnReadEOF(c)
	p.Open(c)
}

func TestGate(t *testing.T) {
	for name, test := range map[string]struct {
		do    func(*handlertest.Loop, *handlertest.Conn)
		reply string
		calls string
	}{
		"nothing":        {func(_ *handlertest.Loop, c *handlertest.Conn) { c.Reset() }, "", ""},
		"word":           {func(_ *handlertest.Loop, c *handlertest.Conn) { c.SendPieces("sesame", 2); c.Close() }, "", "oec"},
		"word and more":  {func(_ *handlertest.Loop, c *handlertest.Conn) { c.Send("sesame hi"); c.Send("!"); c.Close() }, " hi!", "oddec"},
		"end while shut": {func(_ *handlertest.Loop, c *handlertest.Conn) { c.Send("ses"); c.CloseWrite(); c.Close() }, "ses", "odec"},
		"drain while shut": {
			func(lp *handlertest.Loop, c *handlertest.Conn) { lp.Drain(); c.Send("sesame"); c.Close() }, "", "orc",
		},
		"drain and end while shut": {
			func(lp *handlertest.Loop, c *handlertest.Conn) { lp.Drain(); c.Send("ses"); c.CloseWrite(); c.Close() }, "ses", "odec",
		},
		"wake while shut": {
			func(lp *handlertest.Loop, c *handlertest.Conn) {
				c.Server().Wake()
				c.Server().Call(func(c *engine.Conn) { c.SetTimer(time.Second) })
				lp.Advance(time.Second)
				c.Reset()
			}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			lp := handlertest.New(t, &password{middleware.Gate{Base: middleware.Base{Handler: d}}, "sesame"})
			c := lp.Connect()
			test.do(lp, c)
			c.Expect(test.reply)
			d.expect(t, test.calls)
		})
	}
}

// A handler that pauses in OnOpen gets the end after what came before it.
func TestGateKeepsTheEndLast(t *testing.T) {
	d := &diary{}
	h := hooks{
		open: func(c *engine.Conn) { d.note('o'); c.Pause() },
		data: d.OnData, eof: d.OnReadEOF, closed: d.OnClose,
	}
	lp := handlertest.New(t, &password{middleware.Gate{Base: middleware.Base{Handler: h}}, "sesame"})
	c := lp.Connect()
	c.Send("ses")
	c.CloseWrite()
	d.expect(t, "o")
	c.Server().Call(func(c *engine.Conn) { c.Resume() })
	lp.Run()
	c.Expect("ses")
	c.Close()
	d.expect(t, "odec")
}
