package middleware_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// lines consumes whole lines only.
func lines(c *engine.Conn) {
	for {
		b, _ := c.Peek(-1)
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return
		}
		_, _ = c.Write(b[:i+1])
		c.Discard(i + 1)
	}
}

func TestTimeouts(t *testing.T) {
	const first, total, idle = 10 * time.Second, time.Minute, 20 * time.Second
	for name, test := range map[string]struct {
		times *middleware.Timeouts
		data  func(*engine.Conn)
		do    func(*handlertest.Loop, *handlertest.Conn)
		err   error
		end   time.Duration
	}{
		"nothing comes": {&middleware.Timeouts{First: first}, lines, func(*handlertest.Loop, *handlertest.Conn) {}, middleware.ErrFirst, first},
		"a first message that trickles": {
			&middleware.Timeouts{First: first}, lines,
			func(lp *handlertest.Loop, c *handlertest.Conn) {
				for range 9 {
					lp.Advance(time.Second)
					c.Send("x")
				}
			},
			middleware.ErrFirst, time.Second,
		},
		"a first message in pieces": {
			&middleware.Timeouts{First: first, Idle: idle}, lines,
			func(lp *handlertest.Loop, c *handlertest.Conn) {
				c.Send("x")
				lp.Advance(9 * time.Second)
				c.Send("y\nz")
			},
			engine.ErrIdle, idle,
		},
		"established": {
			&middleware.Timeouts{First: first, Explicit: true, Idle: idle},
			func(c *engine.Conn) {
				if c.Buffered() == 2 {
					middleware.Established(c)
				}
			},
			func(lp *handlertest.Loop, c *handlertest.Conn) { c.Send("x"); c.Send("y") },
			engine.ErrIdle, idle,
		},
		"consumed, and not established": {
			&middleware.Timeouts{First: first, Explicit: true}, lines,
			func(lp *handlertest.Loop, c *handlertest.Conn) { c.Send("x\n") },
			middleware.ErrFirst, first,
		},
		"total": {
			&middleware.Timeouts{First: first, Total: total, Idle: idle}, lines,
			func(lp *handlertest.Loop, c *handlertest.Conn) {
				for range 11 {
					c.Send("x\n")
					lp.Advance(5 * time.Second)
				}
			},
			middleware.ErrTotal, 5 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			lp := handlertest.New(t, test.times.Wrap(hooks{data: test.data}))
			c := lp.Connect()
			test.do(lp, c)
			lp.Advance(test.end - time.Millisecond)
			if err, ended := c.Ended(); ended {
				t.Fatalf("ended early: %v", err)
			}
			lp.Advance(time.Millisecond)
			c.ExpectEnd(test.err)
			s := test.times.Stats()
			if (s.First == 1) != errors.Is(test.err, middleware.ErrFirst) || (s.Total == 1) != errors.Is(test.err, middleware.ErrTotal) {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// The handler's own timer, deadline and idle timeout are still its own.
func TestTimeoutsLeaveTheHandlersAlone(t *testing.T) {
	times := &middleware.Timeouts{Total: time.Hour, First: time.Hour, Idle: time.Second}
	d := &diary{}
	lp := handlertest.New(t, times.Wrap(middleware.Chain(d, func(h engine.Handler) engine.Handler { return &own{middleware.Base{Handler: h}} })))
	c := lp.Connect()
	lp.Advance(5 * time.Second)
	d.expect(t, "ot")
	lp.Advance(5 * time.Second)
	c.ExpectEnd(engine.ErrDeadline)
}

type own struct{ middleware.Base }

func (o *own) OnOpen(c *engine.Conn) {
	c.SetTimer(2 * time.Second)
	c.SetIdleTimeout(0)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	o.Base.OnOpen(c)
}
