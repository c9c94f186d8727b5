package tlshandler_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// patience is met by a hang only.
const patience = 30 * time.Second

// port is where the tests serve.
const port = 443

// authority is a CA.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = sign(t, template, template, a.key, a.key)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a certificate for names, good for servers and clients.
func (a *authority) issue(names ...string) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(10, 77, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert := sign(a.t, template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// files writes a certificate and its key, and returns their names.
func files(t testing.TB, dir, name string, cert tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", cert.Certificate[0])
	writePEM(t, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rig is an engine that serves a handler in tenants that have the same address.
type rig struct {
	t       testing.TB
	eng     *engine.Engine
	lab     *nstest.Lab
	tenants map[string]*nstest.Tenant
	cut     bool // connections may be reset when the engine drains
}

// serve makes a rig, of one tenant "a" unless others are named. When the test
// ends its engine has to drain.
func serve(t testing.TB, cfg engine.Config, h engine.Handler, tenants ...string) *rig {
	t.Helper()
	if len(tenants) == 0 {
		tenants = []string{"a"}
	}
	r := &rig{t: t, lab: nstest.New(t), tenants: map[string]*nstest.Tenant{}}
	for _, name := range tenants {
		r.tenants[name] = r.lab.MustAdd(t, name)
	}
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.eng = eng
	t.Cleanup(r.shutdown)
	if err := eng.Handle("tcp", port, h); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(r.lab.Dir()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.eng.Shutdown(ctx); err != nil && !r.cut {
		r.t.Errorf("shutdown: %v", err)
	}
}

// dialRaw connects to a tenant. The connection is closed when the test ends.
func (r *rig) dialRaw(tenant string) *net.TCPConn {
	r.t.Helper()
	conn, err := r.tenants[tenant].Dial(r.t.Context(), "tcp", port)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// dial connects and shakes hands.
func (r *rig) dial(tenant string, cfg *tls.Config) *tls.Conn {
	r.t.Helper()
	conn := tls.Client(r.dialRaw(tenant), cfg)
	if err := conn.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// stats waits until a handler's Stats are as wanted.
func awaitStats(t *testing.T, h *tlshandler.Handler, what string, good func(tlshandler.Stats) bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !good(h.Stats()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s: %+v", what, h.Stats())
		}
	}
}

// await waits for a value.
func await[T any](t testing.TB, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
	return v
}

// hooks is a handler made of functions; where one is nil it does what BaseHandler
// does.
type hooks struct {
	engine.BaseHandler
	open, data, eof, drain func(*engine.Conn)
	closed                 func(*engine.Conn, error)
}

func (h hooks) OnOpen(c *engine.Conn) {
	if h.open != nil {
		h.open(c)
	}
}

func (h hooks) OnData(c *engine.Conn) {
	if h.data == nil {
		h.BaseHandler.OnData(c)
		return
	}
	h.data(c)
}

func (h hooks) OnReadEOF(c *engine.Conn) {
	if h.eof == nil {
		h.BaseHandler.OnReadEOF(c)
		return
	}
	h.eof(c)
}

func (h hooks) OnDrain(c *engine.Conn) {
	if h.drain == nil {
		h.BaseHandler.OnDrain(c)
		return
	}
	h.drain(c)
}

func (h hooks) OnClose(c *engine.Conn, err error) {
	if h.closed != nil {
		h.closed(c, err)
	}
}

// echo sends back what arrives. It is a data hook.
func echo(c *engine.Conn) {
	b, _ := c.Next(-1)
	_, _ = c.Write(b)
}

// stats are the engine's of all its namespaces.
func (r *rig) stats() engine.Totals {
	var sum engine.Totals
	s := r.eng.Stats()
	for i := range s.Namespaces {
		sum.Add(&s.Namespaces[i])
	}
	return sum
}
