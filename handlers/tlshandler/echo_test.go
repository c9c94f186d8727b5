package tlshandler_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// noise is bytes in which a piece that is missing, doubled or moved shows.
func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// fixture is an authority and a handler that serves inner with a certificate of
// its.
func fixture(t testing.TB, inner engine.Handler) (*authority, *tlshandler.Handler) {
	t.Helper()
	ca := newAuthority(t, "ca")
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}}
	return ca, tlshandler.New(inner, tlshandler.Config{GetConfig: tlshandler.Fixed(cfg)})
}

// versions are all that are served, with a kind of cipher each that does its
// records otherwise.
var versions = map[string]*tls.Config{
	"1.3":          {MinVersion: tls.VersionTLS13},
	"1.2 GCM":      {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	"1.2 ChaCha20": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
	"1.2 CBC":      {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
}

// Every byte comes back, in every version, in any sizes, however the wire cuts
// the records.
func TestEchoSendsBackEveryByte(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, h)
	for name, version := range versions {
		for _, piece := range []int{1, 7, 1000, 20_000, 1 << 20} {
			t.Run(fmt.Sprint(name, " in ", piece), func(t *testing.T) {
				cfg := version.Clone()
				cfg.RootCAs, cfg.ServerName = ca.pool, "server"
				conn := tls.Client(cutting{r.dialRaw("a"), piece}, cfg)
				for _, size := range []int{1, 1000, 16 << 10, 16<<10 + 1, min(5<<20, 20_000*piece)} {
					if err := exchange(conn, noise(size)); err != nil {
						t.Fatal(size, err)
					}
				}
				if err := endInOrder(conn); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// cutting writes in pieces.
type cutting struct {
	*net.TCPConn
	piece int
}

func (c cutting) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i += c.piece {
		if _, err := c.TCPConn.Write(p[i:min(i+c.piece, len(p))]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// exchange sends while it receives, and wants the same back.
func exchange(conn *tls.Conn, sent []byte) error {
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		wrote <- err
	}()
	got := make([]byte, len(sent))
	_, err := io.ReadFull(conn, got)
	err = errors.Join(err, <-wrote)
	if err == nil && !bytes.Equal(got, sent) {
		err = errors.New("the echo differs")
	}
	return err
}

// endInOrder says close_notify, and wants the peer's and nothing before it.
func endInOrder(conn *tls.Conn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(conn) // an end without close_notify is an error
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many", len(rest))
	}
	return errors.Join(err, conn.Close())
}

func TestManyAtOnce(t *testing.T) {
	ca, h := fixture(t, handlers.Echo{})
	r := serve(t, engine.Config{}, h)
	var clients sync.WaitGroup
	for i := range 50 {
		conn := tls.Client(r.dialRaw("a"), &tls.Config{RootCAs: ca.pool, ServerName: "server"})
		clients.Go(func() {
			if err := errors.Join(exchange(conn, noise(1+i*3000)), endInOrder(conn)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	awaitStats(t, h, "50 handshakes", func(s tlshandler.Stats) bool {
		return s.Handshakes == 50 && s.InProgress == 0 && s.Waiting == 0
	})
}
