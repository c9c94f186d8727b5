package middleware_test

import (
	"net/netip"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/handlertest"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

func from(ns, addr string) handlertest.Client {
	return handlertest.Client{Namespace: ns, Addr: netip.MustParseAddrPort(addr)}
}

func TestLimitsOfNamespace(t *testing.T) {
	limits := &middleware.Limits{PerNamespace: 2}
	lp := handlertest.New(t, limits.Wrap(hooks{}), handlertest.Namespaces("a", "b"))
	first := lp.Connect()
	lp.Connect()
	refused := lp.Connect()
	refused.ExpectEnd(middleware.ErrTooMany)
	if !refused.WasReset() {
		t.Error("no reset")
	}
	other := lp.Connect(handlertest.Client{Namespace: "b"})
	other.Send("x")
	other.Expect("x")
	first.Close()
	again := lp.Connect()
	again.Send("x")
	again.Expect("x")
	if s := limits.Stats(); s != (middleware.LimitsStats{Open: 3, Namespaces: 2, RefusedNamespace: 1}) {
		t.Errorf("stats: %+v", s)
	}
	if n := lp.Stats().Namespaces[0].Errors[engine.ErrorHandler]; n != 1 {
		t.Errorf("the engine counts %d", n)
	}
}

// Peers are told apart by address, of IPv6 by its first half, in each namespace by itself;
// nothing is kept of one that has left.
func TestLimitsOfPeer(t *testing.T) {
	limits := &middleware.Limits{PerPeer: 1, Reply: []byte("busy")}
	lp := handlertest.New(t, limits.Wrap(hooks{}), handlertest.Namespaces("a", "b"))
	var open []*handlertest.Conn
	for _, who := range []handlertest.Client{
		from("a", "10.0.0.1:1"), from("b", "10.0.0.1:1000"), from("a", "10.0.0.2:1"), from("a", "[2001:db8::1]:1"), from("a", "[2001:db8:0:1::1]:1"),
	} {
		c := lp.Connect(who)
		c.Send("x")
		c.Expect("x")
		open = append(open, c)
	}
	for _, who := range []handlertest.Client{from("a", "10.0.0.1:2"), from("a", "[2001:db8::2]:1"), from("a", "[2001:db8::ffff:2]:1")} {
		c := lp.Connect(who)
		c.Expect("busy")
		c.Close()
		c.ExpectEnd(middleware.ErrTooManyOfPeer)
	}
	if s := limits.Stats(); s != (middleware.LimitsStats{Open: 5, Namespaces: 2, Peers: 5, RefusedPeer: 3}) {
		t.Errorf("stats: %+v", s)
	}
	for _, c := range open {
		c.Reset()
	}
	if s := limits.Stats(); s != (middleware.LimitsStats{RefusedPeer: 3}) {
		t.Errorf("with nobody connected: %+v", s)
	}
	lp.Connect(from("a", "10.0.0.1:3")).Send("x")
}

// What is refused, or never opened, is not counted as open, and not taken off either.
func TestLimitsCountOnlyWhatTheyLetIn(t *testing.T) {
	limits := &middleware.Limits{PerNamespace: 1, PerPeer: 1}
	lp := handlertest.New(t, limits.Wrap(hooks{}))
	lp.Connect()
	for range 3 {
		lp.Connect().ExpectEnd(middleware.ErrTooMany)
	}
	lp.Refuse("a", errRefused)
	lp.Connect().ExpectEnd(engine.ErrSwitch)
	if s := limits.Stats(); s.Open != 1 || s.Peers != 1 {
		t.Errorf("stats: %+v", s)
	}
}
