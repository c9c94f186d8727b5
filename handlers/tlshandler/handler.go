package tlshandler

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// Config is how a Handler does its handshakes. A server's GetConfig is required,
// nothing else.
type Config struct {
	// GetConfig says with what to answer a client: a [Store]'s, [Fixed]'s, or
	// one's own. It is called on the handshake's goroutine, at home. What it
	// returns must not change any more. An [ErrUnknownName] or a nil
	// tls.Config refuses the client's server name. Session tickets are encrypted with keys
	// that the Handler keeps for each namespace, unless the tls.Config has had its own set
	// with SetSessionTicketKeys; a VerifyPeerCertificate is not called for a
	// resumed session, a VerifyConnection is. A client has none.
	GetConfig func(*Hello) (*tls.Config, error)
	// ByProtocol has the handlers of the protocols of ALPN that are not for
	// the one given to New. It does not offer them: tls.Config.NextProtos does.
	ByProtocol map[string]engine.Handler
	// HandshakeTimeout limits the time from the connection's beginning until the
	// handshake is done. Default: 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes limits the handshakes that are under way at once, from the
	// complete ClientHello on; those beyond wait, and are not read. Default: 1024.
	MaxHandshakes int
	// MaxHandshakesPerNamespace limits those of one namespace. Default: a
	// quarter of MaxHandshakes.
	MaxHandshakesPerNamespace int
	// Failed, if not nil, is told of every accepted connection that ends before its
	// handler has it, except those on which nothing was ever received: in its
	// OnClose, with the error of that, which may be a [HandshakeError] in an
	// [engine.Error].
	Failed func(c *engine.Conn, err error)
}

// Hello is a client's first message, and where it came in.
type Hello struct {
	*tls.ClientHelloInfo
	Namespace *engine.Namespace
	Port      int // that the handler was registered for
	Remote    netip.AddrPort
}

// Fixed is a GetConfig that answers all clients alike.
func Fixed(cfg *tls.Config) func(*Hello) (*tls.Config, error) {
	return func(*Hello) (*tls.Config, error) { return cfg, nil }
}

// Handler is an [engine.Handler] that serves another behind TLS. From OnOpen, which
// follows the handshake, to OnClose the other finds everything as without: for an accepted
// connection whose handshake fails it is not called, for a dialed one OnClose is, as if it could
// not be made. Register it with [engine.AnyNamespace] if
// that may be done with the other.
//
// Before the handshake is done pausing the connection is the Handler's. What is unread when it is given a connection it takes for TLS, so
// that it can follow another protocol, such as PROXY or one with STARTTLS: that one
// calls OnOpen when it is done, and passes all further callbacks on.
type Handler struct {
	inner  engine.Handler
	cfg    Config
	client *tls.Config // nil for a server
	gate   gate
	shared tenants

	done, resumed atomic.Uint64
	failed        [reasons]atomic.Uint64
}

// New serves inner behind TLS. A nil inner leaves only cfg.ByProtocol.
func New(inner engine.Handler, cfg Config) *Handler {
	h := &Handler{inner: inner, cfg: cfg}
	if h.cfg.HandshakeTimeout <= 0 {
		h.cfg.HandshakeTimeout = 10 * time.Second
	}
	if h.cfg.MaxHandshakes <= 0 {
		h.cfg.MaxHandshakes = 1024
	}
	if h.cfg.MaxHandshakesPerNamespace <= 0 {
		h.cfg.MaxHandshakesPerNamespace = max(h.cfg.MaxHandshakes/4, 1)
	}
	h.gate.max, h.gate.share = h.cfg.MaxHandshakes, h.cfg.MaxHandshakesPerNamespace
	return h
}

// Client has inner speak TLS on connections that are dialed with it. What is
// written to them before OnOpen, which follows the handshake, is sent after it. As
// in package tls, cfg needs a ServerName or InsecureSkipVerify. Its ClientSessionCache, if
// any, keeps the sessions of each namespace apart. A handler around it is a
// [engine.Wrapper].
func Client(inner engine.Handler, client *tls.Config, cfg Config) *Handler {
	h := New(inner, cfg)
	if h.client = client; client == nil {
		h.client = new(tls.Config)
	}
	return h
}

// sessionKey is the connection's value that is its session.
var sessionKey = new(struct{ _ byte })

func sessionOf(c *engine.Conn) *session {
	s, _ := c.Value(sessionKey).(*session)
	return s
}

// State tells of the TLS of a connection: version, server name, protocol, the peer's
// certificates. It reports false if there is none, or its handshake is not done.
// Like a Conn's methods it belongs to the connection's callbacks, OnClose included.
func State(c *engine.Conn) (tls.ConnectionState, bool) {
	s := sessionOf(c)
	if s == nil || s.inner == nil {
		return tls.ConnectionState{}, false
	}
	return s.tls.ConnectionState(), true
}

// handlerFor is who handles a protocol; "" is none. It is nil for one that nobody
// does.
func (h *Handler) handlerFor(protocol string) engine.Handler {
	if inner := h.cfg.ByProtocol[protocol]; inner != nil {
		return inner
	}
	return h.inner
}

// opened is the handler that has the connection, or nil.
func opened(c *engine.Conn) engine.Handler {
	if s := sessionOf(c); s != nil {
		return s.inner
	}
	return nil
}

// Prepare is for what is dialed.
func (h *Handler) Prepare(c *engine.Conn) { _ = newSession(h, c) }

// OnOpen begins with the handshake.
func (h *Handler) OnOpen(c *engine.Conn) {
	early, _ := c.Next(-1)
	s := sessionOf(c)
	switch {
	case s != nil:
	case h.client != nil && c.Unsent() > 0:
		c.Fail(ErrNotPrepared)
		return
	default:
		s = newSession(h, c)
	}
	s.limit = c.AfterFunc(h.cfg.HandshakeTimeout, s.timeout)
	switch {
	case h.client != nil:
		s.bridge.feed.add(early)
		s.enter()
	case len(early) > 0:
		s.greet(c.Wire(), early)
	}
}

// OnData is inner's.
func (h *Handler) OnData(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnData(c)
	}
}

// OnReadEOF is inner's.
func (h *Handler) OnReadEOF(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnReadEOF(c)
	}
}

// OnWritable is inner's.
func (h *Handler) OnWritable(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnWritable(c)
	}
}

// OnWake is inner's, if need be later.
func (h *Handler) OnWake(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnWake(c)
		return
	}
	if s := sessionOf(c); s != nil {
		s.woken = true
	}
}

// OnTimer is inner's.
func (h *Handler) OnTimer(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnTimer(c)
	}
}

// OnDrain is inner's, when the handshake is done.
func (h *Handler) OnDrain(c *engine.Conn) {
	if inner := opened(c); inner != nil {
		inner.OnDrain(c)
		return
	}
	if s := sessionOf(c); s != nil {
		s.drain()
	}
}

// OnClose is inner's, if the handshake was done or the connection was dialed.
func (h *Handler) OnClose(c *engine.Conn, err error) {
	s := sessionOf(c)
	if s == nil {
		s = &session{h: h} // it was not begun
	}
	if s.inner != nil {
		s.inner.OnClose(c, err)
		return
	}
	s.close(err)
	switch {
	case h.client != nil && h.inner != nil:
		h.inner.OnClose(c, cmp.Or(err, errUnfinished))
	case h.cfg.Failed != nil && err != nil:
		h.cfg.Failed(c, err)
	}
}
