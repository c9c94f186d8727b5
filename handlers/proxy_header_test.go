package handlers_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// The backend learns who the client is: the one who has connected, or the one whom its own
// proxy declares.
func TestProxySendsPROXYHeader(t *testing.T) {
	anyone := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	for name, test := range map[string]struct {
		send   string
		around []middleware.Middleware
		want   func(local, remote string) string
	}{
		"the client": {"hello", nil, func(local, remote string) string {
			l, r := netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote)
			return fmt.Sprintf("PROXY TCP4 %v %v %d %d\r\nhello", l.Addr(), r.Addr(), l.Port(), r.Port())
		}},
		"the proxy's client": {
			"PROXY TCP4 198.51.100.7 192.0.2.1 12345 443\r\nhello",
			[]middleware.Middleware{(&middleware.ProxyProtocol{Trusted: anyone}).Wrap},
			func(string, string) string { return "PROXY TCP4 198.51.100.7 192.0.2.1 12345 443\r\nhello" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := middleware.Chain(handlers.Proxy{Address: peerAddress, SendProxy: 1}, test.around...)
			r := serve(t, engine.Config{}, h, engine.AnyNamespace)
			backend(t, r.tenant.Peer, mirror)
			conn := r.dial(t)
			if err := send(conn, []byte(test.send)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if want := test.want(conn.LocalAddr().String(), conn.RemoteAddr().String()); string(got) != want || err != nil {
				t.Errorf("the backend got %q, want %q; %v", got, want, err)
			}
		})
	}
}

// Where all namespaces have the same addresses, version 2 says which one it was.
func TestProxySendsTheNamespace(t *testing.T) {
	r := serve(t, engine.Config{}, handlers.Proxy{Address: peerAddress, SendProxy: 2}, engine.AnyNamespace)
	backend(t, r.tenant.Peer, mirror)
	conn := r.dial(t)
	if err := send(conn, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	header, err := proxyproto.Read(bufio.NewReader(conn))
	if err != nil {
		t.Fatal(err)
	}
	tlvs, err := header.TLVs()
	if err != nil || header.SourceAddr.String() != conn.LocalAddr().String() || len(tlvs) != 1 ||
		tlvs[0].Type != proxyproto.PP2_TYPE_NETNS || string(tlvs[0].Value) != r.tenant.Name {
		t.Errorf("the backend got %+v with %+v, %v", header, tlvs, err)
	}
}

func TestProxyWithABadVersion(t *testing.T) {
	// The middleware waits for a first byte: a reset before that could reach connect(2).
	h := (&middleware.ProxyProtocol{}).Wrap(handlers.Proxy{Address: peerAddress, SendProxy: 3})
	r := serve(t, engine.Config{}, h, engine.AnyNamespace)
	backend(t, r.tenant.Peer, mirror)
	conn := r.dial(t)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
