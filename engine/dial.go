package engine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// What can be wrong with a dial, or end one.
var (
	// ErrBadDial is a Dial with a wrong network, address, option or handler.
	ErrBadDial = errors.New("bad dial")
	// ErrDialTimeout ends a dial that took longer than its timeout.
	ErrDialTimeout = errors.New("dial timeout")
	// ErrDraining refuses a dial in a namespace that is draining or released, and
	// ends one that is under way when that begins.
	ErrDraining = errors.New("namespace is draining")
	// ErrMaxConns refuses a dial above Config.MaxConns or
	// Config.MaxConnsPerNamespace.
	ErrMaxConns = errors.New("too many connections")
)

// DialOption changes how [Conn.Dial] and [Engine.Dial] connect. [AnyNamespace]
// is one too: the promise of the handler that the connection is dialed with.
type DialOption func(*service)

// dialSpec is where and how to connect. It is a part of the service that a
// dialed connection belongs to.
type dialSpec struct {
	in      *Namespace     // nil is where the caller is
	timeout time.Duration  // 0 is Config's
	local   netip.AddrPort // to bind to
	context any
	host    string // a name to resolve, or a path
}

// InNamespace makes the connection in another namespace than the caller's: in
// home, say, which [Engine.Home] tells before the handler is registered.
func InNamespace(ns *Namespace) DialOption { return func(s *service) { s.dial.in = ns } }

// DialTimeout limits the time until the connection is made, resolving included,
// instead of Config.DialTimeout.
func DialTimeout(d time.Duration) DialOption { return func(s *service) { s.dial.timeout = d } }

// LocalAddress has the connection come from an address, with port 0 from any
// port of it: bind(2). Only peers of its family are tried.
func LocalAddress(addr netip.AddrPort) DialOption {
	return func(s *service) { s.dial.local = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()) }
}

// WithContext is [Conn.SetContext] before the first callback.
func WithContext(v any) DialOption { return func(s *service) { s.dial.context = v } }

// Dial connects, without blocking, from a namespace to an address. The network
// is "tcp", "tcp4" or "tcp6", with an address like "192.0.2.1:80",
// "[fe80::1%eth0]:80" or "name:80", or "unix" with a path, of which an abstract
// one ("@name") is the namespace's own. The zone of an address is looked up in
// the namespace, and so is a name, by Config.Resolver; its addresses are tried as
// in RFC 8305.
//
// The connection lives on the loop of c, in c's namespace unless an option says
// otherwise. It can be written to at once: the bytes wait until it is connected.
// OnOpen says that it is; if it can't be made, OnClose says why, and nothing else
// is called. Neither is called before Dial returns. It counts as
// one of its namespace's connections from the beginning.
//
// The error is an [ErrBadDial], [ErrNotAttached], [ErrDraining], [ErrMaxConns] or
// [ErrStopped]; then there is no connection. Dial belongs to the callbacks of c,
// which may be closed.
func (c *Conn) Dial(network, address string, h Handler, options ...DialOption) (*Conn, error) {
	l := c.loop
	svc, ns, peer, err := l.eng.prepareDial(c.ep.cell.ns, network, address, h, options)
	if err != nil {
		return nil, err
	}
	if kind, err := l.admit(ns.cells[l.index]); err != nil {
		ns.cells[l.index].errors[kind].inc()
		return nil, dialError(ns, err)
	}
	dialed := newDialed(l, ns, svc, peer)
	prepare(dialed, h)
	l.enroll(dialed)
	l.runAgain(dialed)
	return dialed, nil
}

// Dial is [Conn.Dial] from any goroutine, a callback included: it waits for
// nothing. The connection lives on the loop with the fewest; its methods, but
// for those that say otherwise, belong to its callbacks. An ErrMaxConns goes to
// OnClose.
func (e *Engine) Dial(ns *Namespace, network, address string, h Handler, options ...DialOption) (*Conn, error) {
	svc, ns, peer, err := e.prepareDial(ns, network, address, h, options)
	if err != nil {
		return nil, err
	}
	l := e.lightest(e.loops[0])
	c := newDialed(l, ns, svc, peer)
	prepare(c, h)
	l.load.Add(1)
	if !l.post(task{kind: taskDial, conn: c}) {
		l.load.Add(-1)
		return nil, dialError(ns, ErrStopped)
	}
	return c, nil
}

// CheckDial reports what Dial would have against a network and an address, an
// [ErrBadDial], to a program that wants to know at its start. It looks nothing up.
func CheckDial(network, address string) error {
	s := service{network: network, handler: BaseHandler{}}
	if _, err := s.parse(address); err != nil {
		return dialError(nil, fmt.Errorf("%w: %w", ErrBadDial, err))
	}
	return nil
}

// prepareDial checks a dial, and says from where to where.
func (e *Engine) prepareDial(ns *Namespace, network, address string, h Handler, options []DialOption) (*service, *Namespace, netip.AddrPort, error) {
	svc := &service{network: network, handler: h}
	for _, o := range options {
		o(svc)
	}
	if e.sim != nil {
		svc.handler = e.sim.watch(h)
	}
	if svc.dial.in != nil {
		ns = svc.dial.in
	}
	peer, err := svc.parse(address)
	switch {
	case err != nil:
		err = dialError(ns, fmt.Errorf("%w: %w", ErrBadDial, err))
	case ns == nil || ns.eng != e:
		err = dialError(ns, ErrNotAttached)
	case ns.State() >= StateDraining:
		err = dialError(ns, ErrDraining)
	}
	setDefault(&svc.dial.timeout, e.cfg.DialTimeout)
	return svc, ns, peer, err
}

func dialError(ns *Namespace, cause error) error {
	name := ""
	if ns != nil {
		name = ns.Name()
	}
	return &Error{Op: "dial", Namespace: name, Err: cause}
}

func newDialed(l *loop, ns *Namespace, svc *service, peer netip.AddrPort) *Conn {
	ep := &endpoint{svc: svc, cell: ns.cells[l.index], handler: svc.handler, anywhere: svc.anywhere}
	c := &Conn{
		loop: l, ep: ep, anywhere: ep.anywhere, fd: -1, peer: peer, stage: stageConnecting, blocked: true,
		context: svc.dial.context, idleAfter: int64(l.eng.cfg.IdleTimeout),
	}
	svc.dial.context = nil // it goes when the connection does
	c.needExtras().dial = &dial{conn: c}
	return c
}

// parse checks a dial and takes its address apart. The peer is what is known of
// it without looking anything up.
func (s *service) parse(address string) (peer netip.AddrPort, err error) {
	switch {
	case s.handler == nil:
		return peer, errors.New("no handler")
	case s.dial.timeout < 0:
		return peer, fmt.Errorf("timeout %v", s.dial.timeout)
	case s.network == "unix":
		s.dial.host = address
		return peer, checkPath(address)
	case s.network != "tcp" && s.network != "tcp4" && s.network != "tcp6":
		return peer, fmt.Errorf("network %q", s.network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return peer, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || host == "" {
		return peer, fmt.Errorf("address %q is not like host:port, with a port from 1 to 65535", address)
	}
	s.port = int(number)
	addr, err := netip.ParseAddr(host)
	if err != nil {
		s.dial.host = host
		return peer, checkHost(host)
	}
	if addr = addr.Unmap(); !s.takes(addr) {
		return peer, fmt.Errorf("address %q is not of the family of %q or the local address", address, s.network)
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// takes reports whether an address is of a family that may be tried.
func (s *service) takes(addr netip.Addr) bool {
	local := s.dial.local.Addr()
	switch {
	case s.network == "tcp4" && !addr.Is4(), s.network == "tcp6" && !addr.Is6():
		return false
	}
	return !local.IsValid() || local.Is4() == addr.Is4()
}

// maxHost is how long a name may be: RFC 1035, section 2.3.4.
const maxHost = 255

func checkHost(host string) error {
	if len(host) > maxHost || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("name %.64q is longer than %d bytes, or has a space in it", host, maxHost)
	}
	return nil
}

// maxPath is how long a unix socket's path may be, unix(7).
const maxPath = 107

func checkPath(path string) error {
	if path == "" || len(path) > maxPath || strings.ContainsRune(path[1:], 0) {
		return fmt.Errorf("path %q is empty, longer than %d bytes, or has a zero byte", path, maxPath)
	}
	return nil
}
