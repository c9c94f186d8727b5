package middleware_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

func perSecond(n float64) middleware.Rate { return middleware.Rate{PerSecond: n} }

// Above the rate messages wait, none is lost, and other namespaces don't feel it.
func TestRateOfMessages(t *testing.T) {
	rates := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 2, Burst: 3}}
	lp := handlertest.New(t, rates.Wrap(hooks{}), handlertest.Namespaces("a", "b"))
	c, other := lp.Connect(), lp.Connect(handlertest.Client{Namespace: "b"})
	c.SendPieces("abcdefg", 1, 1, 1, 1, 1, 1)
	c.Expect("abc")
	other.Send("x")
	other.Expect("x")
	if s := rates.Stats(); s.Waiting != 1 || s.Limited != 2 {
		t.Errorf("stats: %+v", s)
	}
	lp.Advance(499 * time.Millisecond)
	c.Expect("")
	lp.Advance(11 * time.Millisecond)
	for _, want := range []string{"d", "e", "f", "g", ""} {
		c.Expect(want)
		lp.Advance(500 * time.Millisecond)
	}
	if s := rates.Stats(); s.Delayed != 4 || s.Waiting != 0 || s.Waited < 1900*time.Millisecond || s.Waited > 2200*time.Millisecond {
		t.Errorf("stats: %+v", s)
	}
}

// A piece that is larger than the bucket passes too, and what follows pays for it.
func TestRateOfBytes(t *testing.T) {
	rates := &middleware.RateLimit{Bytes: perSecond(1024)}
	lp := handlertest.New(t, rates.Wrap(hooks{}))
	c := lp.Connect()
	big := strings.Repeat("x", 10*1024)
	c.Send(big)
	c.Expect(big)
	c.Send("y")
	lp.Advance(8900 * time.Millisecond)
	c.Expect("")
	lp.Advance(200 * time.Millisecond)
	c.Expect("y")
}

// What ReadInto has taken counts though its connection ends with it: large bodies, each on
// a connection of its own, once passed for nothing.
func TestRateOfReadInto(t *testing.T) {
	rates := &middleware.RateLimit{Bytes: perSecond(1024)}
	lp := handlertest.New(t, rates.Wrap(hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(1)
		if string(b) == "b" {
			c.ReadInto(make([]byte, 10*1024), (*engine.Conn).Close)
			return
		}
		_, _ = c.Write(b)
	}}))
	c := lp.Connect()
	c.SendPieces("b"+strings.Repeat("x", 10*1024), 1)
	c.Close()
	c.ExpectEnd(nil)
	next := lp.Connect()
	next.Send("y")
	lp.Advance(8900 * time.Millisecond)
	next.Expect("")
	lp.Advance(200 * time.Millisecond)
	next.Expect("y")
}

// Connections take turns in the order in which they came, whatever they send.
func TestRateIsFair(t *testing.T) {
	var order []string
	rates := &middleware.RateLimit{Bytes: perSecond(1024)}
	lp := handlertest.New(t, rates.Wrap(hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		order = append(order, string(b[:1]))
	}}))
	lp.Connect().Send(strings.Repeat("0", 2048)) // a debt
	var clients []*handlertest.Conn
	for range 3 {
		clients = append(clients, lp.Connect())
	}
	order = nil
	for range 3 {
		clients[0].Send(strings.Repeat("a", 2000)) // it wants more than its share
	}
	clients[1].Send("b")
	clients[2].SendPieces("cc", 1)
	lp.Advance(20 * time.Second)
	if got := strings.Join(order, ""); got != "abcaca" {
		t.Errorf("served in the order %s", got)
	}
}

// A connection that ends while it waits is not charged for, and does not keep those behind
// it waiting.
func TestRateOfThoseWhoLeave(t *testing.T) {
	rates := &middleware.RateLimit{Bytes: perSecond(1024)}
	lp := handlertest.New(t, rates.Wrap(hooks{}))
	c := lp.Connect()
	c.Send(strings.Repeat("x", 2048))
	c.Take()
	for range 10 {
		gone := lp.Connect()
		gone.Send(strings.Repeat("y", 64<<10))
		gone.Server().CloseNow()
		lp.Run()
	}
	waits := lp.Connect()
	first := lp.Connect()
	first.Send("a")
	waits.Send("z")
	first.Server().CloseNow()
	lp.Run()
	lp.Advance(1100 * time.Millisecond)
	waits.Expect("z")
	if s := rates.Stats(); s.Waiting != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// A peer's limit and the namespace's can be had together; a pause of the handler's own is
// not ended by either.
func TestRateOfPeerAndNamespace(t *testing.T) {
	peers := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 1, Burst: 1}, PerPeer: true}
	all := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 0.5, Burst: 2}}
	lp := handlertest.New(t, middleware.Chain(hooks{}, peers.Wrap, all.Wrap))
	one, same, two := lp.Connect(from("a", "10.0.0.1:1")), lp.Connect(from("a", "10.0.0.1:2")), lp.Connect(from("a", "10.0.0.2:1"))
	one.Send("a")
	same.Send("b")
	two.Send("c")
	one.Expect("a")
	same.Expect("") // the peer's
	two.Expect("c")
	lp.Advance(1100 * time.Millisecond)
	same.Expect("") // the namespace's
	same.Server().Call(func(c *engine.Conn) { c.Pause() })
	lp.Advance(time.Second)
	same.Expect("") // its own
	same.Server().Call(func(c *engine.Conn) { c.Resume() })
	lp.Run()
	same.Expect("b")
}

// A handler that counts its messages pays for each, afterwards.
func TestRateOfCountedMessages(t *testing.T) {
	rates := &middleware.RateLimit{Messages: perSecond(10), Counted: true}
	lp := handlertest.New(t, rates.Wrap(hooks{data: func(c *engine.Conn) {
		middleware.Took(c, c.Buffered())
		echo(c)
	}}))
	c := lp.Connect()
	c.Send(strings.Repeat("x", 20))
	c.Take()
	c.Send("y")
	c.Expect("")
	lp.Advance(1000 * time.Millisecond)
	c.Expect("")
	lp.Advance(200 * time.Millisecond)
	c.Expect("y")
}

// A RateLimit that counts by itself takes no notice of such a handler.
func TestRateIsNotCountedTwice(t *testing.T) {
	rates := &middleware.RateLimit{Messages: perSecond(10)}
	lp := handlertest.New(t, rates.Wrap(hooks{data: func(c *engine.Conn) {
		middleware.Took(c, 100)
		echo(c)
	}}))
	c := lp.Connect()
	c.SendPieces("xyz", 1, 1)
	c.Expect("xyz")
}

// To connect anew brings no new tokens; when the bucket is full nothing is kept of it.
func TestRateOutlivesConnections(t *testing.T) {
	rates := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 100, Burst: 1}}
	lp := handlertest.New(t, rates.Wrap(hooks{}))
	c := lp.Connect()
	c.Send("x")
	c.Reset()
	c = lp.Connect()
	c.Send("y")
	c.Expect("")
	lp.Advance(20 * time.Millisecond)
	c.Expect("y")
	lp.Advance(20 * time.Millisecond)
	c.Close()
	if s := rates.Stats(); s.Limited != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// Half-close, reset and drain in the middle of a wait.
func TestRateAndEnds(t *testing.T) {
	rates := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 1, Burst: 1}}
	d := &diary{}
	lp := handlertest.New(t, rates.Wrap(d))
	c := lp.Connect()
	c.SendPieces("abc", 1, 1)
	c.CloseWrite()
	lp.Advance(5 * time.Second)
	c.Expect("abc")
	c.Close()
	d.expect(t, "odddec")

	c = lp.Connect()
	c.SendPieces("ab", 1)
	c.Reset()
	lp.Advance(5 * time.Second)

	c = lp.Connect()
	c.SendPieces("ab", 1)
	lp.Drain()
	c.Close()
	c.ExpectEnd(nil)
	if s := rates.Stats(); s.Waiting != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// A newcomer that finds a token does not take it from those who have waited for it, though
// their timer is late.
func TestRateOfNewcomers(t *testing.T) {
	var order []string
	rates := &middleware.RateLimit{Messages: middleware.Rate{PerSecond: 1, Burst: 1}}
	lp := handlertest.New(t, rates.Wrap(hooks{data: func(c *engine.Conn) {
		b, _ := c.Next(-1)
		order = append(order, string(b))
	}}))
	waits, newcomer := lp.Connect(), lp.Connect()
	waits.SendPieces("ab", 1)
	lp.Together(func() {
		lp.Advance(2 * time.Second) // events come before timers
		newcomer.Send("c")
	})
	lp.Advance(1100 * time.Millisecond)
	if got := strings.Join(order, ""); got != "abc" {
		t.Errorf("served in the order %s", got)
	}
}
