package middleware

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// ProxyPolicy says what is due at the beginning of a connection.
type ProxyPolicy uint8

const (
	// ProxyRequired ends a connection that does not begin with a PROXY header.
	ProxyRequired ProxyPolicy = iota
	// ProxyOptional takes a header if there is one. Whoever may connect can then pretend
	// to be anybody, or nobody: the protocol's specification advises against it.
	ProxyOptional
	// ProxyForbidden ends a connection that begins with a header; others are served.
	ProxyForbidden
	// ProxyDenied ends the connection.
	ProxyDenied
)

// ProxyProtocol reads the header that proxies put before a connection's bytes to say who
// their client is: version 1 and 2 of the PROXY protocol,
// https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt. The handler inside gets
// OnOpen when the header has come, and sees only what follows it. [ClientAddr] and
// [ProxyHeader] tell what it says; RemoteAddr stays the proxy's.
//
// A header may come in any pieces, and is at most 4112 bytes long. The handler inside may
// be TLS: the header stands before it.
type ProxyProtocol struct {
	// Trusted has the addresses of the proxies, in every namespace: with them the header
	// is required, from all others it is forbidden.
	Trusted []netip.Prefix
	// Policy decides instead of Trusted, for example by namespace. It is called in OnOpen.
	Policy func(c *engine.Conn) ProxyPolicy
	// SpeaksFirst says that the handler writes before its client does. Connections on
	// which a header is forbidden are then opened at once, and are the handler's from the
	// first byte: a header is garbage to it. Otherwise it is waited for their first
	// bytes, as long as Timeout at most.
	SpeaksFirst bool
	// Timeout is how long a header may take. Default: 5 s.
	Timeout time.Duration

	accepted, without atomic.Uint64
	refused           [proxyRefusals]atomic.Uint64
}

// What connections are refused for, as an index.
const (
	proxyBad = iota
	proxyMissing
	proxyForbidden
	proxyDenied
	proxyLate
	proxyRefusals
)

var (
	proxyErrors = [proxyRefusals]error{ErrProxyHeader, ErrProxyMissing, ErrProxyForbidden, ErrProxyDenied, ErrProxyTimeout}
	proxyNames  = [proxyRefusals]string{"bad", "missing", "forbidden", "denied", "timeout"}
)

// ProxyStats is what became of connections.
type ProxyStats struct {
	Accepted  uint64 // with a header
	Without   uint64 // served without one
	Bad       uint64 // ErrProxyHeader
	Missing   uint64 // ErrProxyMissing
	Forbidden uint64 // ErrProxyForbidden
	Denied    uint64 // ErrProxyDenied
	Timeout   uint64 // ErrProxyTimeout
}

// Stats may be called by any goroutine.
func (p *ProxyProtocol) Stats() ProxyStats {
	r := &p.refused
	return ProxyStats{
		p.accepted.Load(), p.without.Load(),
		r[proxyBad].Load(), r[proxyMissing].Load(), r[proxyForbidden].Load(), r[proxyDenied].Load(), r[proxyLate].Load(),
	}
}

// Counters are the Stats, for metrics.
func (p *ProxyProtocol) Counters() []tally.Sample {
	const help = "Connections by what became of their PROXY header."
	samples := []tally.Sample{
		tally.Count("proxy_headers_total", help, p.accepted.Load()).By("result", "accepted"),
		tally.Count("proxy_headers_total", help, p.without.Load()).By("result", "without"),
	}
	for i, name := range proxyNames {
		samples = append(samples, tally.Count("proxy_headers_total", help, p.refused[i].Load()).By("result", name))
	}
	return samples
}

// headerKey is the connection's value that is its *proxyproto.Header.
var headerKey = new(struct{ _ byte })

// ProxyHeader is the header that a connection began with, or nil. It must not be changed.
// Of a header of version 2 with the command LOCAL, as of the proxy's own health checks,
// IsLocal of its Command reports true, and there are no addresses. It is there in OnClose.
func ProxyHeader(c *engine.Conn) *proxyproto.Header {
	h, _ := c.Value(headerKey).(*proxyproto.Header)
	return h
}

// ClientAddr is who the connection is from: the source that a PROXY header declares, or
// else RemoteAddr.
func ClientAddr(c *engine.Conn) netip.AddrPort {
	if h := ProxyHeader(c); h != nil && !h.Command.IsLocal() {
		if addr := addrPortOf(h.SourceAddr); addr.IsValid() {
			return addr
		}
	}
	return c.RemoteAddr()
}

// addrPortOf is an IP address with a port; that of others is not valid.
func addrPortOf(addr net.Addr) netip.AddrPort {
	a, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Wrap is a [Middleware].
func (p *ProxyProtocol) Wrap(h engine.Handler) engine.Handler { return &unwrapping{Gate{Base{h}}, p} }

type unwrapping struct {
	Gate
	*ProxyProtocol
}

// expected is a header that is waited for. It is the connection's value under its
// *unwrapping.
type expected struct {
	policy ProxyPolicy
	timer  *engine.Timer
}

// policy is what is due from a connection.
func (p *ProxyProtocol) policy(c *engine.Conn) ProxyPolicy {
	peer := c.RemoteAddr().Addr().Unmap().WithZone("")
	switch {
	case p.Policy != nil:
		return p.Policy(c)
	case slices.ContainsFunc(p.Trusted, func(prefix netip.Prefix) bool { return prefix.Contains(peer) }):
		return ProxyRequired
	}
	return ProxyForbidden
}

func (w *unwrapping) OnOpen(c *engine.Conn) {
	policy := w.policy(c)
	switch {
	case policy >= ProxyDenied:
		w.refused[proxyDenied].Add(1)
		w.Refuse(c, ErrProxyDenied)
		return
	case policy == ProxyForbidden && w.SpeaksFirst:
		w.without.Add(1)
		w.Handler.OnOpen(c)
		return
	}
	w.Wait(c)
	timeout := w.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	c.SetValue(w, &expected{policy, c.AfterFunc(timeout, w.late)})
}

func (w *unwrapping) OnData(c *engine.Conn) {
	if !w.Waiting(c) {
		w.Gate.OnData(c)
		return
	}
	arrived, _ := c.Peek(-1) // all there is can't be too short
	size, err := headerSize(arrived)
	switch {
	case err == nil && size == 0:
		w.none(c)
	case err == nil && size < 0 && !c.InputFull():
		// The rest is on its way.
	case w.expected(c).policy == ProxyForbidden:
		w.deny(c, proxyForbidden, nil)
	case err != nil:
		w.deny(c, proxyBad, err)
	case size < 0:
		w.deny(c, proxyBad, errors.New("longer than the read buffer"))
	default:
		w.read(c, arrived[:size])
	}
}

func (w *unwrapping) expected(c *engine.Conn) *expected { return c.Value(w).(*expected) }

// read takes the header, and lets the handler have what follows.
func (w *unwrapping) read(c *engine.Conn, b []byte) {
	h, err := parseHeader(b)
	if err != nil {
		w.deny(c, proxyBad, err)
		return
	}
	w.accepted.Add(1)
	c.Discard(len(b))
	c.SetValue(headerKey, h)
	w.open(c)
}

// none is the case of a connection that does not begin with a header.
func (w *unwrapping) none(c *engine.Conn) {
	if w.expected(c).policy == ProxyRequired {
		w.deny(c, proxyMissing, nil)
		return
	}
	w.without.Add(1)
	w.open(c)
}

func (w *unwrapping) open(c *engine.Conn) {
	w.expected(c).timer.Stop()
	c.SetValue(w, nil)
	w.Open(c)
}

// deny counts and resets. The handler never hears of the connection.
func (w *unwrapping) deny(c *engine.Conn, why int, cause error) {
	w.refused[why].Add(1)
	err := proxyErrors[why]
	if cause != nil {
		err = &proxyError{err, cause}
	}
	c.Fail(err)
}

// OnReadEOF while a header is waited for: what has come is all there is.
func (w *unwrapping) OnReadEOF(c *engine.Conn) {
	if w.Waiting(c) {
		w.Gate.OnReadEOF(c) // for Open
		w.none(c)
		return
	}
	w.Gate.OnReadEOF(c)
}

// OnDrain while a header is waited for: nothing was begun that could be finished.
func (w *unwrapping) OnDrain(c *engine.Conn) {
	if w.Waiting(c) {
		c.Close()
		return
	}
	w.Gate.OnDrain(c)
}

// late is what happens when the timeout is over. Where none is due, and none has begun, the
// handler may be one that speaks first.
func (w *unwrapping) late(c *engine.Conn) {
	if w.expected(c).policy == ProxyRequired || c.Buffered() > 0 {
		w.deny(c, proxyLate, nil)
		return
	}
	w.none(c)
}

// proxyError is a header's error with what was wrong with it.
type proxyError struct{ err, cause error }

func (e *proxyError) Error() string   { return e.err.Error() + ": " + e.cause.Error() }
func (e *proxyError) Unwrap() []error { return []error{e.err, e.cause} }
