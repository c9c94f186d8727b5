package handlertest

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// relay dials for each connection, and passes on what comes from either side.
func relay(address string) hooks {
	pass := func(c *engine.Conn) {
		b, _ := c.Next(-1)
		_, _ = c.Context().(*engine.Conn).Write(b)
	}
	end := func(c *engine.Conn, err error) {
		other, is := c.Context().(*engine.Conn)
		switch {
		case !is:
		case err != nil:
			other.Fail(err)
		default:
			other.Close()
		}
	}
	eof := func(c *engine.Conn) { c.Context().(*engine.Conn).CloseWrite() }
	back := hooks{data: pass, closed: end, eof: func(c *engine.Conn) {
		c.Context().(*engine.Conn).Close()
		c.Close()
	}}
	return hooks{data: pass, closed: end, eof: eof, open: func(c *engine.Conn) {
		other, err := c.Dial("tcp", address, back, engine.WithContext(c))
		if err != nil {
			c.Fail(err)
			return
		}
		c.SetContext(other)
	}}
}

func TestDialedConnectionsHaveAnotherSide(t *testing.T) {
	lp := New(t, relay("203.0.113.1:80"), Namespaces("a", "b"))
	c := lp.Connect(Client{Namespace: "b"})
	c.Send("question")
	up := lp.Dialed()[0]
	if want := (Dial{Namespace: "b", Network: "tcp", Addr: netip.MustParseAddrPort("203.0.113.1:80")}); up.Target() != want {
		t.Errorf("dialed %v, want %v", up.Target(), want)
	}
	up.Expect("question")
	up.SendPieces("answer", 3)
	c.Expect("answer")
	if up.Server() == nil || up.Server().Namespace() != lp.Namespace("b") {
		t.Error("the dialed connection is not the namespace's")
	}
	up.Close()
	up.ExpectEnd(nil)
	c.Close()
	c.ExpectEnd(nil)
}

func TestDialsAreAnsweredAsTheTestSays(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		then   func(*Loop, *Conn)
		err    error
	}{
		"refused":         {syscall.ECONNREFUSED, func(*Loop, *Conn) {}, syscall.ECONNREFUSED},
		"refused later":   {ErrWaiting, func(_ *Loop, up *Conn) { up.Refuse(syscall.EHOSTUNREACH) }, syscall.EHOSTUNREACH},
		"never answered":  {ErrWaiting, func(lp *Loop, _ *Conn) { lp.Advance(10 * time.Second) }, engine.ErrDialTimeout},
		"accepted later":  {ErrWaiting, func(_ *Loop, up *Conn) { up.Accept(); up.Close() }, nil},
		"accepted, reset": {nil, func(_ *Loop, up *Conn) { up.Reset() }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			lp := New(t, relay("203.0.113.1:80"))
			lp.OnDial(func(Dial) error { return test.answer })
			c := lp.Connect()
			up := lp.Dialed()[0]
			test.then(lp, up)
			up.ExpectEnd(test.err)
			c.Close()
			c.ExpectEnd(test.err)
		})
	}
}

// resolver knows one name.
type resolver struct{}

func (resolver) LookupNetIP(_ context.Context, _ *nsctx.Namespace, name, host string) ([]netip.Addr, error) {
	if host != "backend" || name != "a" {
		return nil, errors.New("no such name")
	}
	return []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")}, nil
}

func TestNamesAreDialedAddressByAddress(t *testing.T) {
	lp := New(t, relay("backend:80"), WithConfig(engine.Config{Resolver: resolver{}}))
	lp.OnDial(func(Dial) error { return ErrWaiting })
	c := lp.Connect()
	lp.Advance(250 * time.Millisecond) // RFC 8305, section 5
	var tried []string
	for _, up := range lp.Dialed() {
		tried = append(tried, up.Target().Addr.String())
	}
	if got := strings.Join(tried, " "); got != "[2001:db8::1]:80 203.0.113.1:80" {
		t.Errorf("tried %s", got)
	}
	lp.Dialed()[1].Accept()
	c.Send("hello")
	lp.Dialed()[1].Expect("hello")

	c = New(t, relay("backend:80")).Connect()
	c.ExpectEnd(engine.ErrResolve)
}

// A backend that nobody plays by hand, for a whole suite.
func TestProxyConforms(t *testing.T) {
	upper := Backend(bytes.ToUpper)
	Conform(t, func() engine.Handler { return relay("203.0.113.1:80") }, Script{
		Exchanges: []Exchange{{Send: "hello", Want: "HELLO"}, {Send: "you", Want: "YOU"}},
		Options:   []Option{upper},
		Except: map[string]string{
			"garbage":  "the backend likes everything",
			"overflow": "a relay of twenty lines does not look at Write's errors",
		},
	})
}
