package tlshandler_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// site is a Site with a certificate of ca's in files of its own.
func site(t *testing.T, ca *authority, dir, namespaces string, names ...string) tlshandler.Site {
	t.Helper()
	s := tlshandler.Site{Namespaces: namespaces}
	s.CertFile, s.KeyFile = files(t, dir, names[0], ca.issue(names...))
	return s
}

// storeOf serves inner with a Store of sites.
func storeOf(t *testing.T, inner engine.Handler, sites ...tlshandler.Site) (*tlshandler.Store, *tlshandler.Handler) {
	t.Helper()
	store, err := tlshandler.NewStore(sites...)
	if err != nil {
		t.Fatal(err)
	}
	return store, tlshandler.New(inner, tlshandler.Config{GetConfig: store.GetConfig})
}

// Two tenants with the same address have certificates of their own, and one of them
// several, by server name. What nobody has a certificate for is refused.
func TestCertificatesByTenantAndName(t *testing.T) {
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	exact, wild := site(t, ca, dir, "b", "www.b.test"), site(t, ca, dir, "b", "*.b.test")
	exact.ServerNames, wild.ServerNames = []string{"WWW.b.test"}, []string{"*.b.test"}
	_, h := storeOf(t, handlers.Echo{}, site(t, ca, dir, "a*", "a.test"), exact, wild)
	r := serve(t, engine.Config{}, h, "a", "b")
	for _, test := range []struct{ tenant, name, want string }{
		{"a", "a.test", "a.test"},
		{"a", "www.b.test", "a.test"}, // it is for all names
		{"b", "www.b.test", "www.b.test"},
		{"b", "www.b.test.", "www.b.test"},
		{"b", "other.b.test", "*.b.test"},
		{"b", "one.two.b.test", ""},
		{"b", "b.test", ""},
		{"b", "a.test", ""},
		{"b", "", ""},
	} {
		t.Run(test.tenant+" "+test.name, func(t *testing.T) {
			conn := tls.Client(r.dialRaw(test.tenant), &tls.Config{ServerName: test.name, InsecureSkipVerify: true})
			err := conn.Handshake()
			if test.want == "" {
				if want := tls.AlertError(112); !errors.As(err, new(tls.AlertError)) && err.Error() != "remote error: "+want.Error() {
					t.Errorf("got %v, want unrecognized_name", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != test.want {
				t.Errorf("got the certificate of %q", got)
			}
			if err := errors.Join(exchange(conn, []byte("hello")), endInOrder(conn)); err != nil {
				t.Error(err)
			}
		})
	}
	awaitStats(t, h, "4 refused names", func(s tlshandler.Stats) bool { return s.Failed[tlshandler.ReasonName] == 4 })
}

// A session is resumed at its tenant, in either version, and never at another, though
// both are served with one tls.Config.
func TestSessionsStayWithTheirTenant(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, h, "a", "b")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			cfg := &tls.Config{
				RootCAs: ca.pool, ServerName: "server", MinVersion: version, MaxVersion: version,
				ClientSessionCache: tls.NewLRUClientSessionCache(1),
			}
			for _, test := range []struct {
				tenant  string
				resumed bool
			}{{"a", false}, {"a", true}, {"b", false}, {"b", true}, {"a", false}} {
				conn := r.dial(test.tenant, cfg)
				// TLS 1.3's ticket is read with what follows the handshake.
				if err := errors.Join(exchange(conn, []byte("x")), endInOrder(conn)); err != nil {
					t.Fatal(err)
				}
				if got := conn.ConnectionState().DidResume; got != test.resumed {
					t.Errorf("tenant %s: resumed is %v", test.tenant, got)
				}
			}
		})
	}
	if s := h.Stats(); s.Handshakes != 10 || s.Resumed != 4 {
		t.Errorf("counted %+v", s)
	}
}

// Reload changes the certificate under load: no connection is lost, and every
// handshake gets one certificate or the other.
func TestReloadUnderLoad(t *testing.T) {
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	s := site(t, ca, dir, "", "server")
	store, h := storeOf(t, handlers.Echo{}, s)
	r := serve(t, engine.Config{}, h)
	cfg := &tls.Config{RootCAs: ca.pool, ServerName: "server"}
	old := r.dial("a", cfg)
	before := old.ConnectionState().PeerCertificates[0]

	var stop atomic.Bool
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				raw, err := r.tenants["a"].Dial(t.Context(), "tcp", port)
				if err != nil {
					t.Error(err)
					return
				}
				conn := tls.Client(raw, cfg)
				if err := errors.Join(exchange(conn, noise(10_000)), endInOrder(conn)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		files(t, dir, "server", ca.issue("server"))
		if err := store.Reload(); err != nil {
			t.Error(err)
		}
		if err := exchange(old, noise(1000)); err != nil {
			t.Error("the old connection:", err)
		}
	}
	stop.Store(true)
	load.Wait()
	if after := r.dial("a", cfg).ConnectionState().PeerCertificates[0]; after.Equal(before) {
		t.Error("the certificate is the old one")
	}
}

// A Reload that fails changes nothing.
func TestReloadOfABadFile(t *testing.T) {
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	s := site(t, ca, dir, "", "server")
	store, h := storeOf(t, handlers.Echo{}, s)
	r := serve(t, engine.Config{}, h)
	files(t, dir, "server", tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: newKey(t)})
	if err := store.Reload(); !errors.Is(err, tlshandler.ErrBadSite) {
		t.Errorf("Reload: %v", err)
	}
	_ = r.dial("a", &tls.Config{RootCAs: ca.pool, ServerName: "server"})
}

func TestBadSites(t *testing.T) {
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	good := site(t, ca, dir, "", "server")
	for name, spoil := range map[string]func(*tlshandler.Site){
		"pattern":     func(s *tlshandler.Site) { s.Namespaces = "[" },
		"name":        func(s *tlshandler.Site) { s.ServerNames = []string{"a.*.test"} },
		"no name":     func(s *tlshandler.Site) { s.ServerNames = []string{""} },
		"no file":     func(s *tlshandler.Site) { s.CertFile = dir + "/none" },
		"no CA file":  func(s *tlshandler.Site) { s.ClientCAFile = dir + "/none" },
		"not a CA":    func(s *tlshandler.Site) { s.ClientCAFile = s.KeyFile },
		"another key": func(s *tlshandler.Site) { _, s.KeyFile = files(t, dir, "other", ca.issue("other")) },
	} {
		bad := good
		spoil(&bad)
		if _, err := tlshandler.NewStore(good, bad); !errors.Is(err, tlshandler.ErrBadSite) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mTLS of a tenant: its clients need a certificate of its own authority, and the
// handler sees it. A session is not resumed when that authority is gone.
func TestClientCertificatesByTenant(t *testing.T) {
	ca, clients, others, dir := newAuthority(t, "ca"), newAuthority(t, "clients"), newAuthority(t, "others"), t.TempDir()
	strict := site(t, ca, dir, "a", "a.test")
	strict.ClientCAFile = dir + "/clients.pem"
	writePEM(t, strict.ClientCAFile, "CERTIFICATE", clients.cert.Raw)
	store, h := storeOf(t, hooks{data: func(c *engine.Conn) {
		c.Discard(c.Buffered())
		state, ok := tlshandler.State(c)
		name := fmt.Sprint(ok, " ", state.ServerName, " ")
		if len(state.PeerCertificates) > 0 {
			name += state.PeerCertificates[0].Subject.CommonName
		}
		_, _ = c.Write([]byte(name + "\n"))
	}}, strict, site(t, ca, dir, "b", "b.test"))
	r := serve(t, engine.Config{}, h, "a", "b")

	cache := tls.NewLRUClientSessionCache(1)
	ask := func(tenant string, cert *tls.Certificate) (string, error) {
		cfg := &tls.Config{RootCAs: ca.pool, ServerName: tenant + ".test", ClientSessionCache: cache}
		if cert != nil {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		conn := tls.Client(r.dialRaw(tenant), cfg)
		if _, err := conn.Write([]byte("who?")); err != nil {
			return "", err
		}
		line := make([]byte, 100)
		n, err := conn.Read(line)
		return fmt.Sprint(string(line[:n]), conn.ConnectionState().DidResume), err
	}
	good, bad := clients.issue("carol"), others.issue("mallory")
	for _, test := range []struct {
		tenant string
		cert   *tls.Certificate
		want   string // "" is a refusal
	}{
		{"b", nil, "true b.test \nfalse"},
		{"a", nil, ""},
		{"a", &bad, ""},
		{"a", &good, "true a.test carol\nfalse"},
		{"a", &good, "true a.test carol\ntrue"},
	} {
		got, err := ask(test.tenant, test.cert)
		if got != test.want && (test.want != "" || err == nil) {
			t.Errorf("%+v: got %q, %v", test, got, err)
		}
	}
	writePEM(t, strict.ClientCAFile, "CERTIFICATE", others.cert.Raw)
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, err := ask("a", &good); err == nil {
		t.Errorf("the authority is gone, and got %q", got)
	}
	awaitStats(t, h, "3 refused certificates", func(s tlshandler.Stats) bool { return s.Failed[tlshandler.ReasonCertificate] == 3 })
}

// Each protocol has its handler; what is not offered, and what nobody handles, is
// refused.
func TestHandlersByProtocol(t *testing.T) {
	say := func(what string) engine.Handler {
		return hooks{open: func(c *engine.Conn) {
			_, _ = c.Write([]byte(what))
			c.Close()
		}}
	}
	ca := newAuthority(t, "ca")
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}, NextProtos: []string{"one", "two", "three"}}
	for _, inner := range []engine.Handler{say("inner"), nil} {
		t.Run(fmt.Sprint(inner != nil), func(t *testing.T) {
			h := tlshandler.New(inner, tlshandler.Config{
				GetConfig:  tlshandler.Fixed(cfg),
				ByProtocol: map[string]engine.Handler{"one": say("one"), "two": say("two")},
			})
			r := serve(t, engine.Config{}, h)
			for _, test := range []struct {
				offer []string
				want  string
			}{
				{[]string{"two", "one"}, "one"},
				{[]string{"two"}, "two"},
				{[]string{"three"}, "inner"},
				{nil, "inner"},
				{[]string{"four"}, ""},
			} {
				conn := tls.Client(r.dialRaw("a"), &tls.Config{RootCAs: ca.pool, ServerName: "server", NextProtos: test.offer})
				got, err := io.ReadAll(conn)
				want := test.want
				if inner == nil && want == "inner" {
					want = ""
				}
				if string(got) != want || err != nil && want != "" {
					t.Errorf("%q: got %q, %v", test.offer, got, err)
				}
			}
			refused := uint64(1)
			if inner == nil {
				refused = 3
			}
			awaitStats(t, h, "refused protocols", func(s tlshandler.Stats) bool { return s.Failed[tlshandler.ReasonProtocol] == refused })
		})
	}
}

// Names of the reasons are labels: short, different, of a closed set.
func TestReasonsHaveNames(t *testing.T) {
	var names []string
	for i := range len(tlshandler.Stats{}.Failed) {
		name := tlshandler.Reason(i).String()
		if name == "" || slices.Contains(names, name) {
			t.Errorf("reason %d is %q", i, name)
		}
		names = append(names, name)
	}
	if got := tlshandler.Reason(200).String(); got != "unknown" {
		t.Errorf("an unknown reason is %q", got)
	}
}

// What is counted is told to package metrics under names of its own.
func TestCounters(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, h)
	_ = r.dial("a", clientOf(ca))
	_, _ = r.dialRaw("a").Write([]byte("GET / HTTP/1.1\r\n"))
	awaitStats(t, h, "a failure and a success", func(s tlshandler.Stats) bool {
		return s.Failed[tlshandler.ReasonNotTLS] == 1 && s.Handshakes == 1
	})
	got := map[string]float64{}
	for _, s := range h.Counters() {
		got[s.Name+" "+s.Value] = s.N
	}
	for name, want := range map[string]float64{
		"tls_handshakes_total ": 1, "tls_failed_handshakes_total not_tls": 1, "tls_failed_handshakes_total timeout": 0,
		"tls_handshakes ": 0, "tls_handshakes_waiting ": 0, "tls_resumed_handshakes_total ": 0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %v, %v", name, n, ok)
		}
	}
}
