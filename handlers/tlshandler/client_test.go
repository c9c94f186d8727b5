package tlshandler_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// dialed is what a dialed connection's handler was told.
type dialed struct {
	engine.BaseHandler
	events chan string
	ended  chan error
	want   int // how many bytes to collect before the end
}

func newDialed(want int) *dialed {
	return &dialed{events: make(chan string, 10), ended: make(chan error, 1), want: want}
}

func (d *dialed) OnOpen(c *engine.Conn) {
	state, _ := tlshandler.State(c)
	d.events <- fmt.Sprint("open ", state.NegotiatedProtocol, state.DidResume)
}

func (d *dialed) OnWake(*engine.Conn) { d.events <- "wake" }

func (d *dialed) OnData(c *engine.Conn) {
	if b, _ := c.Peek(-1); len(b) >= d.want {
		d.events <- string(b)
		c.Discard(len(b))
		c.Close()
	}
}

func (d *dialed) OnClose(_ *engine.Conn, err error) { d.ended <- err }

// backend accepts one connection in a tenant's home, where its clients are.
func backend(t *testing.T, r *rig, tenant string) net.Listener {
	t.Helper()
	l, err := r.tenants[tenant].Listen(t.Context(), "tcp", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// namespace is a tenant's, when it is attached.
func (r *rig) namespace(tenant string) *engine.Namespace {
	r.t.Helper()
	for _, ns := range r.eng.Namespaces() {
		if ns.Name() == tenant {
			return ns
		}
	}
	r.t.Fatal("no namespace", tenant)
	return nil
}

// A dialed connection is TLS from its first byte: what was written before it was
// there too. It is served by the same kind of handler, and by crypto/tls.
func TestDial(t *testing.T) {
	ca, server := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, server, "a", "b")
	cfg := clientOf(ca)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	text := noise(100_000)
	for i, test := range []struct {
		tenant  string
		resumed bool
	}{{"a", false}, {"a", true}, {"b", false}} {
		d := newDialed(len(text))
		client := tlshandler.Client(d, cfg, tlshandler.Config{})
		if i > 0 {
			client = tlshandler.Client(d, cfg, tlshandler.Config{}) // the cache is shared, and keeps tenants apart
		}
		c, err := r.eng.Dial(r.namespace(test.tenant), "tcp", "127.0.0.1:"+strconv.Itoa(port), wrapping{client})
		if err != nil {
			t.Fatal(err)
		}
		c.AsyncWrite(text, nil)
		c.Wake()
		for _, want := range []string{fmt.Sprint("open ", test.resumed), "wake", string(text)} {
			if got := await(t, d.events, "event"); got != want {
				t.Errorf("told %.40q, want %.40q", got, want)
			}
		}
		if err := await(t, d.ended, "OnClose"); err != nil {
			t.Errorf("OnClose got %v", err)
		}
	}
}

// wrapping is a handler around another that says so.
type wrapping struct{ engine.Handler }

func (w wrapping) Unwrap() engine.Handler { return w.Handler }

// hiding is one that does not.
type hiding struct{ engine.Handler }

// Where Dial can't see that a connection is to be TLS, what is written to it too
// early is not sent, and ends it.
func TestNothingIsSentInPlainText(t *testing.T) {
	ca, server := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, server)
	l := backend(t, r, "a")
	for name, test := range map[string]struct {
		wrap  func(engine.Handler) engine.Handler
		close bool
		want  error
	}{
		"hidden":            {func(h engine.Handler) engine.Handler { return hiding{h} }, false, tlshandler.ErrNotPrepared},
		"closed before it":  {func(h engine.Handler) engine.Handler { return h }, true, engine.ErrClosed},
		"closed, and shown": {func(h engine.Handler) engine.Handler { return wrapping{h} }, true, engine.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialed(1)
			h := test.wrap(tlshandler.Client(d, clientOf(ca), tlshandler.Config{}))
			dial := tlsDialer{address: l.Addr().String(), h: h, close: test.close}
			if _, err := r.eng.Dial(r.namespace("a"), "tcp", "127.0.0.1:"+strconv.Itoa(port), dial); err != nil {
				t.Fatal(err)
			}
			if err := await(t, d.ended, "OnClose"); !errors.Is(err, test.want) {
				t.Errorf("OnClose got %v", err)
			}
			if len(d.events) > 0 {
				t.Errorf("it was told %q", <-d.events)
			}
			if test.close {
				return // it was never connected
			}
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(conn); len(b) > 0 {
				t.Errorf("the backend got %q", b)
			}
			_ = conn.Close()
		})
	}
}

// tlsDialer dials when it is connected, and writes at once.
type tlsDialer struct {
	engine.BaseHandler
	address string
	h       engine.Handler
	close   bool
}

func (d tlsDialer) OnOpen(c *engine.Conn) {
	other, err := c.Dial("tcp", d.address, d.h)
	if err == nil {
		_, _ = other.Write([]byte("secret"))
		if d.close {
			other.Close()
		}
	}
	c.Close()
}

// A dial whose handshake fails is one that fails: OnClose says why, and is all.
func TestDialFails(t *testing.T) {
	ca, server := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, server)
	for name, test := range map[string]struct {
		client *tls.Config
		reply  string // of a server that is none
		reason tlshandler.Reason
	}{
		"not trusted":   {&tls.Config{ServerName: "server"}, "", tlshandler.ReasonCertificate},
		"wrong name":    {&tls.Config{RootCAs: ca.pool, ServerName: "other"}, "", tlshandler.ReasonCertificate},
		"no name":       {nil, "", tlshandler.ReasonOther},
		"refused":       {&tls.Config{RootCAs: ca.pool, ServerName: "server", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", tlshandler.ReasonAlert},
		"not TLS":       {clientOf(ca), "HTTP/1.1 400 Bad Request\r\n\r\n", tlshandler.ReasonNotTLS},
		"closes itself": {clientOf(ca), "\x16\x03", tlshandler.ReasonTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			address := "127.0.0.1:" + strconv.Itoa(port)
			if test.reply != "" {
				l := backend(t, r, "a")
				address = l.Addr().String()
				go func() {
					if conn, err := l.Accept(); err == nil {
						_, _ = conn.Read(make([]byte, 1<<10))
						_, _ = io.WriteString(conn, test.reply)
						_ = conn.(*net.TCPConn).CloseWrite()
						_, _ = io.Copy(io.Discard, conn)
						_ = conn.Close()
					}
				}()
			}
			if _, port, err := net.SplitHostPort(address); err == nil {
				address = "127.0.0.1:" + port
			}
			d := newDialed(1)
			h := tlshandler.Client(d, test.client, tlshandler.Config{})
			if _, err := r.eng.Dial(r.namespace("a"), "tcp", address, h); err != nil {
				t.Fatal(err)
			}
			var shake *tlshandler.HandshakeError
			if err := await(t, d.ended, "OnClose"); !errors.As(err, &shake) || shake.Reason != test.reason {
				t.Errorf("OnClose got %v", err)
			}
			if len(d.events) > 0 {
				t.Errorf("it was told %q", <-d.events)
			}
		})
	}
}

// A handler that dials TLS for each of its TLS connections passes everything on.
func TestProxyOfTLSToTLS(t *testing.T) {
	ca, backend := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, backend)
	proxy := tlshandler.New(&relay{ca: ca}, tlshandler.Config{GetConfig: tlshandler.Fixed(&tls.Config{
		Certificates: []tls.Certificate{ca.issue("server")},
	})})
	if err := r.eng.Handle("tcp", 8443, proxy); err != nil {
		t.Fatal(err)
	}
	raw, err := r.tenants["a"].Dial(t.Context(), "tcp", 8443)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, clientOf(ca))
	if err := errors.Join(exchange(conn, noise(3<<20)), endInOrder(conn)); err != nil {
		t.Error(err)
	}
}

// relay passes on to the backend when its handshake is done: before that it takes no
// more than maxEarly, and on a busy machine the test wrote more.
type relay struct {
	engine.BaseHandler
	ca *authority
}

func (r *relay) OnOpen(c *engine.Conn) {
	other, err := c.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port), tlshandler.Client(relayed{to: c}, clientOf(r.ca), tlshandler.Config{}))
	if err != nil {
		c.Fail(err)
		return
	}
	c.SetContext(other)
	c.Pause()
}

func (*relay) OnData(c *engine.Conn) {
	b, _ := c.Next(-1)
	_, _ = c.Context().(*engine.Conn).Write(bytes.Clone(b))
}

func (*relay) OnReadEOF(c *engine.Conn) { c.Context().(*engine.Conn).CloseWrite() }

type relayed struct {
	engine.BaseHandler
	to *engine.Conn
}

func (r relayed) OnOpen(*engine.Conn) { r.to.Resume() }

func (r relayed) OnData(c *engine.Conn) {
	b, _ := c.Next(-1)
	_, _ = r.to.Write(b)
}

func (r relayed) OnClose(_ *engine.Conn, err error) {
	if err != nil {
		r.to.CloseWith(err)
		return
	}
	r.to.Close()
}
