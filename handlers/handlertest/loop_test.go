package handlertest

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// hooks is a Handler made of functions; one that is nil does what BaseHandler does.
type hooks struct {
	engine.BaseHandler
	open, data, eof, writable, wake, timer, drain func(*engine.Conn)
	closed                                        func(*engine.Conn, error)
}

func call(f, otherwise func(*engine.Conn), c *engine.Conn) {
	if f == nil {
		f = otherwise
	}
	f(c)
}

func (h hooks) OnOpen(c *engine.Conn)     { call(h.open, h.BaseHandler.OnOpen, c) }
func (h hooks) OnData(c *engine.Conn)     { call(h.data, h.BaseHandler.OnData, c) }
func (h hooks) OnReadEOF(c *engine.Conn)  { call(h.eof, h.BaseHandler.OnReadEOF, c) }
func (h hooks) OnWritable(c *engine.Conn) { call(h.writable, h.BaseHandler.OnWritable, c) }
func (h hooks) OnWake(c *engine.Conn)     { call(h.wake, h.BaseHandler.OnWake, c) }
func (h hooks) OnTimer(c *engine.Conn)    { call(h.timer, h.BaseHandler.OnTimer, c) }
func (h hooks) OnDrain(c *engine.Conn)    { call(h.drain, h.BaseHandler.OnDrain, c) }
func (h hooks) OnClose(c *engine.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

func echo(c *engine.Conn) {
	b, _ := c.Next(-1)
	_, _ = c.Write(b)
}

func TestEveryPieceIsReadByItself(t *testing.T) {
	var pieces []string
	lp := New(t, hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		pieces = append(pieces, string(b))
	}})
	lp.Connect().SendPieces("abcdefgh", 1, 2, 3)
	if got := strings.Join(pieces, "|"); got != "a|bc|def|gh" {
		t.Errorf("OnData saw %s", got)
	}
}

func TestWindowHoldsBackWhatIsWritten(t *testing.T) {
	lp := New(t, hooks{data: echo}, WithConfig(engine.Config{WriteHighWater: 4}))
	c := lp.Connect()
	c.Window(0)
	c.Send("hello")
	c.Send("world")
	if c.Unread() != 5 {
		t.Errorf("%d bytes are unread: the handler should not be read with so much unsent", c.Unread())
	}
	c.Expect("")
	c.Window(2)
	c.Expect("he")
	c.Window(-1)
	c.Expect("lloworld")
	if string(c.Received()) != "helloworld" {
		t.Errorf("received %q in all", c.Received())
	}
}

func TestEnds(t *testing.T) {
	for name, test := range map[string]struct {
		handler hooks
		end     func(*Loop, *Conn)
		err     error
		reset   bool
	}{
		"half-close":  {hooks{}, func(_ *Loop, c *Conn) { c.CloseWrite() }, nil, false},
		"close":       {hooks{}, func(_ *Loop, c *Conn) { c.Close() }, nil, false},
		"reset":       {hooks{}, func(_ *Loop, c *Conn) { c.Reset() }, syscall.ECONNRESET, false},
		"read error":  {hooks{}, func(_ *Loop, c *Conn) { c.FailRead(syscall.ETIMEDOUT) }, syscall.ETIMEDOUT, true},
		"write error": {hooks{data: echo}, func(_ *Loop, c *Conn) { c.FailWrite(syscall.EPIPE); c.Send("x") }, syscall.EPIPE, true},
		"write after close": {
			hooks{eof: func(c *engine.Conn) { c.SetTimer(1) }, timer: func(c *engine.Conn) { _, _ = c.Write([]byte("x")); c.SetTimer(1) }},
			func(lp *Loop, c *Conn) { c.Close(); lp.Advance(2) }, syscall.ECONNRESET, false,
		},
		"answer to close": {hooks{data: echo}, func(_ *Loop, c *Conn) { c.Window(0); c.Send("xy"); c.Close(); c.Window(-1) }, nil, false},
		"idle": {
			hooks{open: func(c *engine.Conn) { c.SetIdleTimeout(time.Minute) }},
			func(lp *Loop, _ *Conn) { lp.Advance(time.Minute) }, engine.ErrIdle, true,
		},
		"deadline": {
			hooks{open: func(c *engine.Conn) { c.SetDeadline(time.Now().Add(time.Hour)) }},
			func(lp *Loop, _ *Conn) { lp.Advance(time.Hour) }, engine.ErrDeadline, true,
		},
		"drain": {hooks{}, func(lp *Loop, c *Conn) { lp.Drain(); c.Close() }, nil, false},
		"drain in vain": {
			hooks{drain: func(*engine.Conn) {}},
			func(lp *Loop, _ *Conn) { lp.Drain("a"); lp.Advance(10 * time.Second) }, engine.ErrDrained, true,
		},
		"linger": {
			hooks{open: func(c *engine.Conn) { c.Close() }},
			func(lp *Loop, _ *Conn) { lp.Advance(5 * time.Second) }, engine.ErrLinger, true,
		},
		"unread input": {
			hooks{data: func(c *engine.Conn) { c.CloseNow() }},
			func(_ *Loop, c *Conn) { c.SendPieces("ab", 1) }, engine.ErrClosedNow, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			lp := New(t, test.handler)
			c := lp.Connect()
			test.end(lp, c)
			c.ExpectEnd(test.err)
			if c.WasReset() != test.reset {
				t.Errorf("the client received a reset: %v", c.WasReset())
			}
			if c.Server() != nil {
				t.Error("there is still a connection")
			}
		})
	}
}

func TestTimersFireInOrderAtTheirTime(t *testing.T) {
	var fired []string
	lp := New(t, hooks{
		data: func(c *engine.Conn) {
			b, _ := c.Next(-1)
			d, err := time.ParseDuration(string(b))
			if err != nil {
				t.Fatal(err)
			}
			c.SetContext(string(b))
			c.SetTimer(d)
		},
		timer: func(c *engine.Conn) { fired = append(fired, c.Context().(string)) },
	})
	for _, d := range []string{"3s", "1s", "2s"} {
		lp.Connect().Send(d)
	}
	lp.Advance(2999 * time.Millisecond)
	if got := strings.Join(fired, " "); got != "1s 2s" {
		t.Errorf("fired after 2999 ms: %s", got)
	}
	lp.Advance(time.Millisecond)
	if got := strings.Join(fired, " "); got != "1s 2s 3s" {
		t.Errorf("fired after 3 s: %s", got)
	}
}

// What is sent together comes as one batch of events, ordered by namespace.
func TestBatchIsOrderedByNamespace(t *testing.T) {
	var order []string
	lp := New(t, hooks{data: func(c *engine.Conn) {
		order = append(order, c.Namespace().Name())
		c.Discard(c.Buffered())
	}}, Namespaces("a", "b"))
	var clients []*Conn
	for _, ns := range []string{"a", "b", "a", "b"} {
		clients = append(clients, lp.Connect(Client{Namespace: ns}))
	}
	before := lp.Stats().Loops[0].Switches
	lp.Together(func() {
		for _, c := range clients {
			c.Send("x")
		}
	})
	if got := strings.Join(order, ""); got != "bbaa" {
		t.Errorf("handled in the order %s, want those of b first, where the thread was", got)
	}
	lp.Advance(time.Second) // an idle loop publishes its counts
	if n := lp.Stats().Loops[0].Switches - before; n > 2 {
		t.Errorf("%d switches", n)
	}
}

func TestNamespaceThatCannotBeEntered(t *testing.T) {
	lp := New(t, hooks{open: func(*engine.Conn) { t.Error("OnOpen ran in the wrong namespace") }})
	lp.Refuse("a", syscall.EPERM)
	lp.Connect().ExpectEnd(engine.ErrSwitch)
}

func TestWorkWaitsForRunWork(t *testing.T) {
	handler := hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		request := string(b)
		var reply string
		if err := c.Go(engine.Work{
			Run:  func(context.Context) error { reply = strings.ToUpper(request); return nil },
			Done: func(c *engine.Conn, _ error) { _, _ = c.Write([]byte(reply)) },
		}); err != nil {
			t.Error(err)
		}
	}}
	held := New(t, handler, HoldWork())
	c := held.Connect()
	c.Send("a")
	c.Send("b")
	c.Expect("")
	if !held.RunWork() {
		t.Error("no work")
	}
	c.Expect("A")
	held.RunWork()
	c.Expect("B")
	if held.RunWork() {
		t.Error("work out of nothing")
	}
	c.Send("never run")

	c = New(t, handler).Connect()
	c.Send("c")
	c.Expect("C")
}

// answerLater answers from a goroutine of its own, after a time.
var answerLater = hooks{data: func(c *engine.Conn) {
	b, _ := c.Next(-1)
	reply := append([]byte("late "), b...)
	time.AfterFunc(time.Second, func() { c.AsyncWrite(reply, nil) })
}}

func TestBubbleHasOneClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(t, hooks{data: answerLater.data, wake: func(c *engine.Conn) { c.SetTimer(time.Second) }, timer: func(c *engine.Conn) { _, _ = c.Write([]byte("tick")) }}).Connect()
		c.Send("hi")
		c.Server().Wake()
		c.loop.Advance(999 * time.Millisecond)
		c.Expect("")
		c.loop.Advance(time.Millisecond)
		if got := string(c.Take()); got != "late hitick" && got != "ticklate hi" {
			t.Errorf("received %q", got)
		}
	})
}

func TestUntilWaitsForOtherGoroutines(t *testing.T) {
	begin := make(chan struct{})
	lp := New(t, hooks{data: func(c *engine.Conn) {
		c.Discard(c.Buffered())
		go func() {
			<-begin
			c.AsyncWrite([]byte("done"), nil)
		}()
	}})
	c := lp.Connect()
	c.Send("x")
	c.Expect("")
	close(begin)
	lp.Until("the reply", func() bool { return len(c.Received()) > 0 })
	c.Expect("done")
}

func TestOtherHandlersConnections(t *testing.T) {
	var other *engine.Conn
	lp := New(t, hooks{
		open: func(c *engine.Conn) {
			if other == nil {
				other = c
			}
		},
		data: func(c *engine.Conn) {
			b, _ := c.Next(-1)
			other.AsyncWrite([]byte("from afar: "+string(b)), nil)
		},
	})
	a, b := lp.Connect(), lp.Connect()
	b.Send("x")
	a.Expect("from afar: x")
}

func TestLimitsAreTheEngines(t *testing.T) {
	lp := New(t, hooks{}, WithConfig(engine.Config{MaxConns: 1, Logger: nil}))
	lp.Connect()
	rejected := lp.Connect()
	if !rejected.WasReset() || rejected.Server() != nil {
		t.Error("the second connection was not rejected")
	}
	if n := lp.Stats().Namespaces[0].Rejected; n != 1 {
		t.Errorf("%d rejected", n)
	}
}

// What the checks at the end, and on the way, find.
func TestFindings(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(testing.TB)
		says string
	}{
		"panic": {func(t testing.TB) {
			New(t, hooks{data: func(*engine.Conn) { panic("ouch") }}).Connect().Send("x")
		}, "the handler panicked: ouch"},
		"panic in OnClose": {func(t testing.TB) {
			New(t, hooks{closed: func(*engine.Conn, error) { panic("ouch") }}).Connect().Close()
		}, "the handler panicked: ouch"},
		"wrong reply": {func(t testing.TB) {
			c := New(t, hooks{data: echo}).Connect()
			c.Send("a")
			c.Expect("b")
		}, `received "a", want "b"`},
		"no end": {func(t testing.TB) { New(t, hooks{}).Connect().ExpectEnd(nil) }, "still connected"},
		"another end": {func(t testing.TB) {
			c := New(t, hooks{}).Connect()
			c.Reset()
			c.ExpectEnd(io.EOF)
		}, "OnClose got"},
		"restless": {func(t testing.TB) {
			New(t, hooks{wake: (*engine.Conn).Wake, open: (*engine.Conn).Wake}).Connect()
		}, "does not come to rest"},
		"sending after the end": {func(t testing.TB) {
			c := New(t, hooks{eof: func(*engine.Conn) {}}).Connect()
			c.CloseWrite()
			c.Send("x")
		}, "after its end"},
		"no such namespace": {func(t testing.TB) { New(t, hooks{}).Drain("b") }, `no namespace "b"`},
		"same address":      {func(t testing.TB) { lp := New(t, hooks{}); lp.Connect(Client{Addr: lp.Connect().Addr()}) }, "has connected before"},
		"bad config":        {func(t testing.TB) { New(t, hooks{}, WithConfig(engine.Config{ReadChunk: 1})) }, "ReadChunk"},
		"time in a callback": {func(t testing.TB) {
			var lp *Loop
			lp = New(t, hooks{open: func(*engine.Conn) { lp.Advance(1) }})
			lp.Connect()
		}, "within a callback"},
	} {
		t.Run(name, func(t *testing.T) {
			if said := fails(t, test.run); !strings.Contains(said, test.says) {
				t.Errorf("it said %q, want %q", said, test.says)
			}
		})
	}
}

func TestPanicsMayBeAllowed(t *testing.T) {
	c := New(t, hooks{data: func(*engine.Conn) { panic(errors.ErrUnsupported) }}, AllowPanics()).Connect()
	c.Send("x")
	c.ExpectEnd(engine.ErrPanic)
	c.ExpectEnd(errors.ErrUnsupported)
}
