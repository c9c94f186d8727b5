package middleware_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// patience is met by a hang only.
const patience = 30 * time.Second

// rig is an engine that serves one handler in several tenants with one address.
type rig struct {
	t       *testing.T
	eng     *engine.Engine
	tenants map[string]*nstest.Tenant
	stop    sync.Once
}

func serve(t *testing.T, cfg engine.Config, h engine.Handler, tenants ...string) *rig {
	t.Helper()
	lab := nstest.New(t)
	r := &rig{t: t, tenants: make(map[string]*nstest.Tenant)}
	for _, name := range tenants {
		r.tenants[name] = lab.MustAdd(t, name)
	}
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if r.eng, err = engine.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.shutdown)
	if err := r.eng.Handle("tcp", 7, h); err != nil {
		t.Fatal(err)
	}
	if err := r.eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) shutdown() {
	r.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.eng.Shutdown(ctx); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
	})
}

func (r *rig) dial(tenant string) *net.TCPConn {
	r.t.Helper()
	conn, err := r.tenants[tenant].Dial(r.t.Context(), "tcp", 7)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// awaitUntil waits for a condition that sends no word.
func awaitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// certificate is one for example.org that nobody has signed.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.org"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// shared is a buffer that loops write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// bomb echoes, and panics when it is told to.
type bomb struct{ handlers.Echo }

func (b bomb) OnData(c *engine.Conn) {
	if p, _ := c.Peek(-1); bytes.Contains(p, []byte("panic")) {
		panic("as told")
	}
	b.Echo.OnData(c)
}

// Everything at once, on real sockets: PROXY header, then TLS, then an echo, in two
// tenants with the same address and on two loops.
func TestEverythingComposes(t *testing.T) {
	var lines, seen shared
	cert := certificate(t)
	recovers := &middleware.Recover{Hook: func(c *engine.Conn, _ any, _ []byte) bool {
		_, _ = c.Write([]byte("sorry"))
		c.CloseWith(errHook)
		return true
	}}
	tap := &middleware.Tap{Writer: &seen}
	log := &middleware.AccessLog{Logger: slog.New(slog.NewTextHandler(&lines, nil))}
	proxy := &middleware.ProxyProtocol{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	limits := &middleware.Limits{PerNamespace: 5, PerPeer: 2}
	times := &middleware.Timeouts{Idle: time.Hour, First: time.Hour, Total: time.Hour}
	rates := &middleware.RateLimit{Bytes: middleware.Rate{PerSecond: 20 << 20, Burst: 1 << 10}, Messages: middleware.Rate{PerSecond: 1e6}}
	behindTLS := func(h engine.Handler) engine.Handler {
		return tlshandler.New(h, tlshandler.Config{GetConfig: tlshandler.Fixed(&tls.Config{Certificates: []tls.Certificate{cert}})})
	}
	r := serve(t, engine.Config{Loops: 2}, middleware.Chain(bomb{},
		tap.Wrap, log.Wrap, proxy.Wrap, limits.Wrap, times.Wrap, rates.Wrap, behindTLS, recovers.Wrap), "a", "b")

	connect := func(tenant, client string) (*tls.Conn, error) {
		raw := r.dial(tenant)
		if _, err := fmt.Fprintf(raw, "PROXY TCP4 %s 192.0.2.1 12345 443\r\n", client); err != nil {
			return nil, err
		}
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		return conn, conn.HandshakeContext(t.Context())
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			conn, err := connect([]string{"a", "b"}[i%2], fmt.Sprintf("198.51.100.%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			done := make(chan error, 1)
			go func() {
				_, err := conn.Write(sent)
				done <- errors.Join(err, conn.CloseWrite())
			}()
			got, err := io.ReadAll(conn)
			if err := errors.Join(err, <-done); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came back of %d, or others; %v", len(got), len(sent), err)
			}
			_ = conn.Close()
		})
	}
	clients.Wait()

	conn, err := connect("a", "198.51.100.9")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "panic")
	if got, err := io.ReadAll(conn); string(got) != "sorry" || err != nil {
		t.Errorf("after a panic: %q, %v", got, err)
	}
	_ = conn.Close()

	var stay []*tls.Conn
	for range 2 {
		conn, err := connect("b", "198.51.100.10")
		if err != nil {
			t.Fatal(err)
		}
		stay = append(stay, conn)
	}
	if _, err := connect("b", "198.51.100.10"); err == nil {
		t.Error("a third connection of a peer was let in")
	}
	bad := r.dial("a")
	fmt.Fprint(bad, "GET / HTTP/1.1\r\n\r\n")
	if _, err := bad.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("no header: %v", err)
	}

	if s := limits.Stats(); s.Open != 2 || s.RefusedPeer != 1 {
		t.Errorf("limits: %+v", s)
	}
	for _, conn := range stay {
		_ = conn.Close()
	}
	r.shutdown()
	if s := limits.Stats(); s.Open != 0 || s.Peers != 0 || s.Namespaces != 0 {
		t.Errorf("limits, with nobody left: %+v", s)
	}
	if s := proxy.Stats(); s.Accepted != 8 || s.Missing != 1 {
		t.Errorf("PROXY: %+v", s)
	}
	if s := rates.Stats(); s.Waiting != 0 || s.Delayed == 0 {
		t.Errorf("rates: %+v", s)
	}
	if s := recovers.Stats(); s.Panics != 1 || s.Handled != 1 {
		t.Errorf("recover: %+v", s)
	}
	all := lines.String()
	for _, want := range []string{
		"netns=a ", "netns=b ", "client=198.51.100.3:12345 ", "kind=limit_peer ", "kind=proxy_missing ", "kind=handler ", "port=7 ",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in the access log:\n%s", want, all)
		}
	}
	if n := strings.Count(all, "\n"); n != 9 {
		t.Errorf("%d lines in the access log:\n%s", n, all)
	}
	if s := seen.String(); !strings.Contains(s, `"PROXY TCP4 198.51.100.1 `) || !strings.Contains(s, `"panic"`) || !strings.Contains(s, `"sorry"`) {
		t.Error("the tap has not seen the plain text")
	}
}

// A namespace's bucket is shared by its connections on all loops, and those behind one
// that is closed don't wait for it.
func TestRateAcrossLoops(t *testing.T) {
	rates := &middleware.RateLimit{Bytes: middleware.Rate{PerSecond: 4 << 20, Burst: 1 << 10}}
	r := serve(t, engine.Config{Loops: 2, Accept: engine.AcceptSpread}, rates.Wrap(handlers.Echo{}), "a", "b")
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<13)
	var clients sync.WaitGroup
	for i := range 16 {
		conn := r.dial([]string{"a", "b"}[i%2])
		clients.Go(func() {
			if i%4 == 3 { // in the middle of everything
				_, _ = conn.Write(sent)
				_ = conn.SetLinger(0)
				_ = conn.Close()
				return
			}
			done := make(chan error, 1)
			go func() {
				_, err := conn.Write(sent)
				done <- errors.Join(err, conn.CloseWrite())
			}()
			got, err := io.ReadAll(conn)
			if err := errors.Join(err, <-done); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came back of %d, or others; %v", len(got), len(sent), err)
			}
		})
	}
	clients.Wait()
	awaitUntil(t, "the last to leave", func() bool { s := rates.Stats(); return s.Waiting == 0 })
	if s := rates.Stats(); s.Delayed == 0 {
		t.Errorf("stats: %+v", s)
	}
	r.shutdown()
	awaitUntil(t, "the buckets to be full and forgotten", func() bool { return rates.Stats().Limited == 0 })
}
