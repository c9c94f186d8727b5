package engine_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// webPort is where net/http is served in each tenant, at the same address.
const webPort = 8080

// whoAmI answers with the namespace that the request's connection is in, found by
// both of the ways there are, and the protocol.
func whoAmI(w http.ResponseWriter, r *http.Request) {
	byConn, ok1 := engine.NamespaceFromContext(r.Context())
	byAddr, ok2 := engine.NamespaceOfAddr(r.Context().Value(http.LocalAddrContextKey).(net.Addr))
	if !ok1 || !ok2 || byConn != byAddr {
		http.Error(w, "not one namespace", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%v %s", byConn.ID(), r.Proto)
}

// serveWeb serves net/http through a bridge, with TLS and HTTP/2 if wanted.
func serveWeb(t *testing.T, eng *engine.Engine, secure bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	ln, err := eng.Listener(webPort)
	must(t, err)
	srv := httptest.NewUnstartedServer(h)
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Config.ConnContext = engine.ConnContext
	srv.EnableHTTP2 = secure
	if secure {
		srv.StartTLS()
		srv.URL = "https://example.com" // as the certificate has it
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv
}

// visitor is a client of a tenant's web server.
func visitor(t *testing.T, srv *httptest.Server, tenant *nstest.Tenant) *http.Client {
	t.Helper()
	transport := srv.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return tenant.Dial(ctx, "tcp", webPort)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: hang}
}

func get(client *http.Client, srv *httptest.Server) (string, error) {
	answer, err := client.Get(srv.URL)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(answer.Status))
	}
	return string(body), err
}

func expectWeb(t *testing.T, client *http.Client, srv *httptest.Server, id nsctx.ID, proto string) {
	t.Helper()
	if got, err := get(client, srv); err != nil || got != id.String()+" "+proto {
		t.Errorf("got %q, %v; want %v %s", got, err, id, proto)
	}
}

// One http.Server serves the same address in several namespaces, of which one came
// later, with HTTP/1.1 and with HTTP/2 over TLS.
func TestBridgeServesHTTP(t *testing.T) {
	for _, test := range []struct {
		name, proto string
		secure      bool
	}{{"HTTP/1.1", "HTTP/1.1", false}, {"HTTP/2 over TLS", "HTTP/2.0", true}} {
		t.Run(test.name, func(t *testing.T) {
			lab := nstest.New(t)
			eng := tameEngine(t, engine.Config{Loops: 2})
			early := []*nstest.Tenant{lab.MustAdd(t, "a"), lab.MustAdd(t, "b")}
			must(t, eng.Watch(lab.Dir()))
			srv := serveWeb(t, eng, test.secure, whoAmI)
			for _, tenant := range early {
				expectWeb(t, visitor(t, srv, tenant), srv, tenant.NS.ID(), test.proto)
			}
			late := lab.MustAdd(t, "late")
			client := visitor(t, srv, late)
			eventually(t, "the late one is served", func() bool {
				got, err := get(client, srv)
				return err == nil && got == late.NS.ID().String()+" "+test.proto
			})
		})
	}
}

// A namespace that is deleted under load is let go of, and nobody else notices.
func TestBridgeNamespaceDeletedUnderLoad(t *testing.T) {
	lab := nstest.New(t)
	eng, _ := wildEngine(t, engine.Config{Loops: 2, DrainTimeout: 50 * time.Millisecond})
	stays, goes := lab.MustAdd(t, "stays"), lab.MustAdd(t, "goes")
	must(t, eng.Watch(lab.Dir()))
	srv := serveWeb(t, eng, false, whoAmI)
	gone := attached(t, eng, goes.NS.ID())

	var load sync.WaitGroup
	var answers [2]atomic.Int64
	var stop atomic.Bool
	for i, tenant := range []*nstest.Tenant{stays, goes} {
		want := tenant.NS.ID().String() + " HTTP/1.1"
		for range 4 {
			client := visitor(t, srv, tenant)
			load.Go(func() {
				for !stop.Load() {
					got, err := get(client, srv)
					if err != nil && i == 1 {
						return // its namespace is gone
					}
					if err != nil || got != want {
						t.Errorf("got %q, %v; want %q", got, err, want)
						return
					}
					answers[i].Add(1)
				}
			})
		}
	}
	loaded := func(i int) {
		from := answers[i].Load()
		eventually(t, "there are answers", func() bool { return answers[i].Load() > from+10 })
	}
	loaded(0)
	loaded(1)
	must(t, goes.Delete())
	<-gone.Draining()
	eventually(t, "nothing of it is held", func() bool { return isClosed(gone.Released()) })
	loaded(0)
	stop.Store(true)
	load.Wait()
}

// http.Server.Shutdown and Engine.Shutdown go together in either order.
func TestBridgeShutdownOrders(t *testing.T) {
	for _, engineFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("engine first %v", engineFirst), func(t *testing.T) {
			lab := nstest.New(t)
			eng, _ := wildEngine(t, engine.Config{})
			tenant := lab.MustAdd(t, "a")
			must(t, eng.Watch(lab.Dir()))
			ln, err := eng.Listener(webPort)
			must(t, err)
			began, goOn := make(chan struct{}), make(chan struct{})
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(began)
				<-goOn
				_, _ = io.WriteString(w, "done")
			})}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(ln) }()

			conn, err := tenant.Dial(hanging(t), "tcp", webPort)
			must(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			must(t, err)
			<-began

			// The request under way is answered, whichever shuts down.
			ended := make(chan error, 2)
			shutWeb := func() { ended <- srv.Shutdown(hanging(t)) }
			shutEngine := func() { ended <- eng.Shutdown(hanging(t)) }
			if engineFirst {
				go shutEngine()
				<-eng.Namespaces()[0].Draining()
				if err := <-served; !errors.Is(err, net.ErrClosed) {
					t.Errorf("Serve: %v", err)
				}
				go shutWeb()
			} else {
				go shutWeb()
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Errorf("Serve: %v", err)
				}
				go shutEngine()
			}
			close(goOn)
			if answer, err := io.ReadAll(conn); err != nil || len(answer) < 4 || string(answer[len(answer)-4:]) != "done" {
				t.Errorf("got %q, %v", answer, err)
			}
			for range 2 {
				must(t, <-ended)
			}
		})
	}
}

// A tls.Conn tells its namespace, a connection from elsewhere none.
func TestNamespaceOf(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for _, c := range []net.Conn{a, tls.Server(a, &tls.Config{}), nil} {
		if ns, ok := engine.NamespaceOf(c); ok {
			t.Errorf("%T is in %v", c, ns)
		}
	}
	if ns, ok := engine.NamespaceOfAddr(a.LocalAddr()); ok {
		t.Errorf("a pipe is in %v", ns)
	}
	ctx := engine.ConnContext(context.Background(), a)
	if ns, ok := engine.NamespaceFromContext(ctx); ok {
		t.Errorf("the context knows %v", ns)
	}
}
