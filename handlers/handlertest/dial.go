package handlertest

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/internal/simulate"
	"github.com/nsreactor/nsreactor/nsctx"
)

// Dial is an attempt of the handler to connect somewhere: with [engine.Conn.Dial] or with
// the Dial of [Loop.Engine]. A name with several addresses is dialed several times.
type Dial struct {
	Namespace string // from where
	Network   string // as in engine.Conn.Dial
	Addr      netip.AddrPort
	Path      string // of a unix socket, instead of Addr
}

// ErrWaiting is the answer to a Dial that is given later, by [Conn.Accept] or
// [Conn.Refuse], or never.
var ErrWaiting = errors.New("no answer yet")

// OnDial has f answer what the handler dials from now on: nil accepts, [ErrWaiting]
// doesn't answer yet, and any other error, best an errno, is what connecting fails with.
// Without it everything is accepted.
func (l *Loop) OnDial(f func(Dial) error) { l.answer = f }

// Dialed is what the handler has dialed, in that order, from its other side: what answers
// there is played by the test. Attempts that have failed are among them.
func (l *Loop) Dialed() []*Conn { return slices.Clone(l.dialed) }

// Target is what the handler dialed to make this connection. It is the zero Dial for a
// client's.
func (c *Conn) Target() Dial { return c.to }

// Accept answers a Dial that is waiting.
func (c *Conn) Accept() {
	c.loop.t.Helper()
	c.sock.connecting = false
	c.loop.Run()
}

// dialer is what package engine knows of a loop's test.
type dialer struct{ loop *Loop }

// Watch puts a referee before a handler that is dialed with.
func (d dialer) Watch(h engine.Handler) engine.Handler {
	return &referee{Handler: h, loop: d.loop, dial: new(life)}
}

// DialSocket makes the socket of an attempt, with the answer that the test gives.
func (d dialer) DialSocket(h engine.Handler, ns *engine.Namespace, network string, peer netip.AddrPort, path string) (fd int, err error) {
	l, life := d.loop, h.(*referee).dial
	c := &Conn{loop: l, peer: peer, life: life, to: Dial{Namespace: ns.Name(), Network: network, Addr: peer, Path: path}}
	c.sock = &socket{local: l.freshLocalAddr(), window: unlimited, moved: &l.moved, connecting: true, answer: l.backend}
	life.client = c
	l.dialed = append(l.dialed, c)
	if l.answer != nil {
		err = l.answer(c.to)
	}
	switch {
	case err == nil:
		c.sock.connecting = false
	case !errors.Is(err, ErrWaiting):
		c.sock.closed = true
		return -1, err
	}
	return simulate.Open(c.sock), nil
}

// freshLocalAddr is an address that nothing was dialed from.
func (l *Loop) freshLocalAddr() netip.AddrPort {
	const first = 32768 // of net.ipv4.ip_local_port_range
	return netip.AddrPortFrom(localAddr.Addr(), uint16(first+len(l.dialed)))
}

func (l *Loop) dialedFrom(local netip.AddrPort) *Conn {
	i := slices.IndexFunc(l.dialed, func(c *Conn) bool { return c.sock.local == local })
	return l.dialed[i]
}

// noResolver resolves nothing.
type noResolver struct{}

func (noResolver) LookupNetIP(context.Context, *nsctx.Namespace, string, string) ([]netip.Addr, error) {
	return nil, errors.New("handlertest: no Resolver in the Config")
}
