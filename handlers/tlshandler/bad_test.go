package tlshandler_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// failures is a fixture whose failed handshakes are told of, and whose inner
// handler must never be called.
func failures(t *testing.T, cfg tlshandler.Config) (*authority, *tlshandler.Handler, <-chan error) {
	t.Helper()
	ca := newAuthority(t, "ca")
	failed := make(chan error, 100)
	if cfg.GetConfig == nil {
		cfg.GetConfig = tlshandler.Fixed(&tls.Config{Certificates: []tls.Certificate{ca.issue("server")}, NextProtos: []string{"one"}})
	}
	cfg.Failed = func(_ *engine.Conn, err error) { failed <- err }
	never := func(*engine.Conn) { t.Error("the inner handler was called") }
	return ca, tlshandler.New(hooks{open: never, data: never, closed: func(*engine.Conn, error) { never(nil) }}, cfg), failed
}

// recordOf is a record with a body.
func recordOf(kind byte, body string) string {
	return string([]byte{kind, 3, 1, byte(len(body) >> 8), byte(len(body))}) + body
}

// hello is the ClientHello of crypto/tls.
func hello(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: "server"}).Handshake() }()
	b := make([]byte, 4096)
	n, err := ours.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	return b[:n]
}

// What is no handshake, or not all of one, ends its connection with an error that
// says so, and is counted as what it is.
func TestBadHandshakes(t *testing.T) {
	greeting := string(hello(t))
	for name, test := range map[string]struct {
		sent   string
		reason tlshandler.Reason
		err    error // may be nil
	}{
		"HTTP":             {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"one wrong byte":   {"\x00", tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"SSL 2":            {"\x80\x2e\x01\x00\x02", tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"an alert":         {recordOf(21, "\x02\x28"), tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"another message":  {recordOf(22, "\x02\x00\x00\x01\x00"), tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"oversized record": {"\x16\x03\x01\x40\x01", tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"oversized hello":  {recordOf(22, "\x01\x01\x00\x01"), tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"empty record":     {recordOf(22, ""), tlshandler.ReasonNotTLS, tlshandler.ErrNotTLS},
		"cut hello":        {greeting[:100], tlshandler.ReasonTruncated, io.ErrUnexpectedEOF},
		"cut after hello":  {greeting, tlshandler.ReasonTruncated, io.EOF},
		"empty hello":      {recordOf(22, "\x01\x00\x00\x00"), tlshandler.ReasonOther, nil},
		"garbage hello":    {recordOf(22, "\x01\x00\x00\x30"+strings.Repeat("x", 48)), tlshandler.ReasonOther, nil},
		"garbage after":    {greeting + "garbage", tlshandler.ReasonNotTLS, nil},
		"appdata after":    {greeting + recordOf(23, "text"), tlshandler.ReasonNotTLS, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, h, failed := failures(t, tlshandler.Config{})
			r := serve(t, engine.Config{}, h)
			conn := r.dialRaw("a")
			if _, err := io.WriteString(conn, test.sent); err != nil {
				t.Fatal(err)
			}
			_ = conn.CloseWrite() // which may come after a reset
			err := await(t, failed, "Failed")
			var shake *tlshandler.HandshakeError
			if !errors.As(err, &shake) || shake.Reason != test.reason || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("Failed got %v", err)
			}
			if n := h.Stats().Failed[test.reason]; n != 1 {
				t.Errorf("counted %+v", h.Stats())
			}
			if n := r.stats().Errors[engine.ErrorFilter]; n != 1 {
				t.Errorf("the engine has counted %d", n)
			}
			if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client got %v", err)
			}
		})
	}
}

// Clients that lie or want what is not served get the alert that TLS has for it.
func TestRefusedClients(t *testing.T) {
	ca := newAuthority(t, "ca")
	server := &tls.Config{
		Certificates: []tls.Certificate{ca.issue("server")}, ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"one"},
	}
	liar := newAuthority(t, "liar").issue("mallory")
	for name, test := range map[string]struct {
		client *tls.Config
		reason tlshandler.Reason
		alert  string // what the client gets, "" if it is the one that refuses
	}{
		"no certificate":      {&tls.Config{}, tlshandler.ReasonCertificate, "certificate required"},
		"no certificate, 1.2": {&tls.Config{MaxVersion: tls.VersionTLS12}, tlshandler.ReasonCertificate, "handshake failure"},
		"bad certificate": {&tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &liar, nil
		}}, tlshandler.ReasonCertificate, "certificate"},
		"old version":         {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, tlshandler.ReasonVersion, "protocol version not supported"},
		"wrong protocol":      {&tls.Config{NextProtos: []string{"two"}}, tlshandler.ReasonProtocol, "no application protocol"},
		"it does not like us": {&tls.Config{InsecureSkipVerify: false}, tlshandler.ReasonAlert, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, h, failed := failures(t, tlshandler.Config{GetConfig: tlshandler.Fixed(server)})
			r := serve(t, engine.Config{}, h)
			cfg := test.client.Clone()
			cfg.InsecureSkipVerify = test.alert != ""
			cfg.ServerName = "server"
			raw := r.dialRaw("a")
			conn := tls.Client(raw, cfg)
			_, err := conn.Read(make([]byte, 1)) // in TLS 1.3 the client's handshake is done before the server has checked
			if err == nil || !strings.Contains(err.Error(), test.alert) {
				t.Errorf("the client got %v, want %q", err, test.alert)
			}
			_ = raw.CloseWrite()
			_, _ = io.Copy(io.Discard, raw) // unread, it would have the kernel reset the connection
			_ = raw.Close()
			var shake *tlshandler.HandshakeError
			if err := await(t, failed, "Failed"); !errors.As(err, &shake) || shake.Reason != test.reason {
				t.Errorf("Failed got %v", err)
			}
		})
	}
}

// A handshake that stalls, at any point, is ended.
func TestStalledHandshakes(t *testing.T) {
	greeting := hello(t)
	for name, sent := range map[string][]byte{"nothing": nil, "half a hello": greeting[:100], "a hello": greeting} {
		t.Run(name, func(t *testing.T) {
			_, h, failed := failures(t, tlshandler.Config{HandshakeTimeout: 50 * time.Millisecond})
			r := serve(t, engine.Config{}, h)
			conn := r.dialRaw("a")
			if _, err := conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client got %v, want a reset", err)
			}
			if err := await(t, failed, "Failed"); !errors.Is(err, tlshandler.ErrHandshakeTimeout) {
				t.Errorf("Failed got %v", err)
			}
			awaitStats(t, h, "timeout", func(s tlshandler.Stats) bool {
				return s.Failed[tlshandler.ReasonTimeout] == 1 && s.InProgress == 0
			})
		})
	}
}

// A peer that resets during the handshake, or only looks whether somebody
// listens, costs nothing that stays.
func TestVanishingClients(t *testing.T) {
	greeting := hello(t)
	for name, test := range map[string]struct {
		sent  []byte
		reset bool
	}{"looks": {nil, false}, "looks and resets": {nil, true}, "half a hello": {greeting[:100], true}, "a hello": {greeting, true}} {
		t.Run(name, func(t *testing.T) {
			_, h, failed := failures(t, tlshandler.Config{})
			r := serve(t, engine.Config{}, h)
			conn := r.dialRaw("a")
			if _, err := conn.Write(test.sent); err != nil {
				t.Fatal(err)
			}
			if len(test.sent) == len(greeting) {
				awaitStats(t, h, "handshake in progress", func(s tlshandler.Stats) bool { return s.InProgress == 1 })
			}
			if test.reset {
				_ = conn.SetLinger(0)
			}
			_ = conn.Close()
			awaitStats(t, h, "end", func(s tlshandler.Stats) bool { return s.Failed[tlshandler.ReasonClosed] == 1 && s.InProgress == 0 })
			if test.reset {
				if err := await(t, failed, "Failed"); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("Failed got %v", err)
				}
			} else if len(failed) > 0 {
				t.Error("Failed was told of a look")
			}
		})
	}
}

// What comes after the handshake and is not TLS ends the connection with an
// alert, and the handler gets the error.
func TestBadRecords(t *testing.T) {
	for name, test := range map[string]struct{ sent, alert string }{
		"bad MAC":          {recordOf(23, strings.Repeat("x", 40)), "bad record MAC"},
		"not a record":     {"GET / HTTP/1.1\r\n\r\n", "protocol version not supported"},
		"oversized record": {"\x17\x03\x03\xff\xff", "record overflow"},
		"plain alert":      {recordOf(21, "\x02\x28"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			ca, h := fixture(t, hooks{data: echo, closed: func(_ *engine.Conn, err error) { ended <- err }})
			r := serve(t, engine.Config{}, h)
			raw := r.dialRaw("a")
			conn := tls.Client(raw, &tls.Config{RootCAs: ca.pool, ServerName: "server"})
			if err := exchange(conn, noise(1000)); err != nil {
				t.Fatal(err)
			}
			record := []byte(test.sent)
			if record[2] == 1 {
				record[2] = 3
			}
			if _, err := raw.Write(record); err != nil {
				t.Fatal(err)
			}
			_, err := conn.Read(make([]byte, 1))
			if err == nil || !strings.Contains(err.Error(), test.alert) {
				t.Errorf("the client got %v, want %q", err, test.alert)
			}
			_ = conn.Close()
			if err := await(t, ended, "OnClose"); err == nil || !strings.Contains(err.Error(), "tls: ") {
				t.Errorf("OnClose got %v", err)
			}
			if n := r.stats().Errors[engine.ErrorFilter]; n != 1 {
				t.Errorf("the engine has counted %d", n)
			}
		})
	}
}

// A user's function that panics costs its connection; one that fails does, with
// its error.
func TestGetConfigFails(t *testing.T) {
	own := errors.New("no such tenant")
	for name, test := range map[string]struct {
		get    func(*tlshandler.Hello) (*tls.Config, error)
		reason tlshandler.Reason
		err    error
	}{
		"error":  {func(*tlshandler.Hello) (*tls.Config, error) { return nil, own }, tlshandler.ReasonOther, own},
		"panic":  {func(*tlshandler.Hello) (*tls.Config, error) { panic(own) }, tlshandler.ReasonPanic, own},
		"none":   {func(*tlshandler.Hello) (*tls.Config, error) { return nil, nil }, tlshandler.ReasonName, tlshandler.ErrUnknownName},
		"cancel": {func(h *tlshandler.Hello) (*tls.Config, error) { <-h.Context().Done(); return nil, own }, tlshandler.ReasonTimeout, tlshandler.ErrHandshakeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := patience
			if name == "cancel" {
				timeout = 50 * time.Millisecond
			}
			_, h, failed := failures(t, tlshandler.Config{GetConfig: test.get, HandshakeTimeout: timeout})
			r := serve(t, engine.Config{}, h)
			conn := tls.Client(r.dialRaw("a"), &tls.Config{ServerName: "server"})
			if err := conn.Handshake(); err == nil {
				t.Error("the handshake was done")
			}
			_ = conn.Close()
			err := await(t, failed, "Failed")
			if !errors.Is(err, test.err) || h.Stats().Failed[test.reason] != 1 {
				t.Errorf("Failed got %v, counted %+v", err, h.Stats())
			}
			awaitStats(t, h, "end", func(s tlshandler.Stats) bool { return s.InProgress == 0 })
		})
	}
}

// A handler without a GetConfig refuses everybody.
func TestWithoutConfig(t *testing.T) {
	h := tlshandler.New(handlers.Echo{}, tlshandler.Config{})
	r := serve(t, engine.Config{}, h)
	if err := tls.Client(r.dialRaw("a"), &tls.Config{ServerName: "server"}).Handshake(); err == nil {
		t.Error("the handshake was done")
	}
}

// Handshakes beyond the limit of a namespace wait, in order and without keeping
// those of another waiting, until one ends.
func TestHandshakesWaitForEachOther(t *testing.T) {
	ca := newAuthority(t, "ca")
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue("server")}}
	h := tlshandler.New(handlers.Echo{}, tlshandler.Config{
		GetConfig: tlshandler.Fixed(cfg), MaxHandshakes: 3, MaxHandshakesPerNamespace: 2,
	})
	r := serve(t, engine.Config{}, h, "a", "b")
	greeting := hello(t)
	stall := func(tenant string) *net.TCPConn {
		conn := r.dialRaw(tenant)
		if _, err := conn.Write(greeting); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	are := func(running, waiting int) {
		t.Helper()
		awaitStats(t, h, "such numbers", func(s tlshandler.Stats) bool { return s.InProgress == running && s.Waiting == waiting })
	}
	stalled := []*net.TCPConn{stall("a"), stall("a")}
	are(2, 0)
	stalled = append(stalled, stall("a"), stall("a"))
	are(2, 2)
	client := &tls.Config{RootCAs: ca.pool, ServerName: "server"}
	if err := exchange(r.dial("b", client), noise(100)); err != nil {
		t.Error("a tenant waits for another:", err)
	}
	stalled = append(stalled, stall("b"), stall("b"))
	are(3, 3)
	late := make(chan error, 1)
	go func() {
		conn := tls.Client(r.dialRaw("a"), client)
		late <- errors.Join(exchange(conn, noise(100)), endInOrder(conn))
	}()
	are(3, 4)
	gone := stalled[len(stalled)-1] // it waits, and is not read
	_ = gone.SetLinger(0)
	_ = gone.Close()
	are(3, 3)
	for _, conn := range slices.Backward(stalled) {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
	if err := await(t, late, "handshake that waited"); err != nil {
		t.Error(err)
	}
	are(0, 0)
}
