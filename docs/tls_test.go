package docs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// snippet tls
func behindTLS(inner engine.Handler, dir string) (engine.Handler, *tlshandler.Store, error) {
	store, err := tlshandler.NewStore(
		tlshandler.Site{
			Namespaces: "tenant-a", // a glob; sites are asked in their order
			CertFile:   filepath.Join(dir, "a.pem"), KeyFile: filepath.Join(dir, "a.key"),
		},
		tlshandler.Site{
			Namespaces: "tenant-*",
			CertFile:   filepath.Join(dir, "others.pem"), KeyFile: filepath.Join(dir, "others.key"),
		},
	)
	if err != nil {
		return nil, nil, err
	}
	return tlshandler.New(inner, tlshandler.Config{GetConfig: store.GetConfig}), store, nil
}

// reloadOn reads the files again on SIGHUP. Connections that are open stay as they are.
func reloadOn(store *tlshandler.Store, failed func(error)) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	for range hup {
		if err := store.Reload(); err != nil {
			failed(err) // what was there before goes on
		}
	}
}

// end

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "others"} {
		writeCertificate(t, dir, name)
	}
	h, store, err := behindTLS(shout{}, dir)
	must(t, err)
	must(t, store.Reload())
	_ = reloadOn // a signal is the process's, not a test's
	_, lab := serve(t, h)
	for tenant, name := range map[string]string{"tenant-a": "a", "tenant-b": "others"} {
		conn := tls.Client(dial(t, lab, tenant), &tls.Config{InsecureSkipVerify: true}) // it looks itself
		_, _ = io.WriteString(conn, "hi")
		must(t, conn.CloseWrite())
		got, err := io.ReadAll(conn)
		if string(got) != "HI" || err != nil || conn.ConnectionState().PeerCertificates[0].Subject.CommonName != name {
			t.Errorf("%s: %q, %v", tenant, got, err)
		}
	}
}

// writeCertificate makes a certificate that signs itself.
func writeCertificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		var text bytes.Buffer
		must(t, pem.Encode(&text, block))
		must(t, os.WriteFile(filepath.Join(dir, file), text.Bytes(), 0o600))
	}
}
