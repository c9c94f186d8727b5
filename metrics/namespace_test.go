package metrics_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/metrics"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// Whoever asks for the endpoint, a tenant must not be able to reach it.
func TestListensAtHome(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	var ln net.Listener
	err := tenant.NS.Do(func() (err error) {
		ln, err = metrics.Listen("127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	admin := metrics.NewAdmin(everything(), metrics.AdminOptions{Logger: quiet})
	served := make(chan error)
	go func() { served <- admin.Serve(ln) }()
	fetch(t, ln.Addr(), "/healthz")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if conn, err := tenant.DialLocal(ctx, "tcp", ln.Addr().(*net.TCPAddr).Port); err == nil {
		_ = conn.Close()
		t.Error("the tenant can connect")
	}
	shut(t, admin)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// IDs that the kernel has made, as all other tests do without.
func TestNamespacesAreLabelledByID(t *testing.T) {
	lab := nstest.New(t)
	src := tenants(2)
	var ids []string
	for i, name := range []string{"a", "b"} {
		id := lab.MustAddBare(t, name).NS.ID()
		src.change(func(s *engine.Stats) {
			s.Namespaces[i].ID, s.Namespaces[i].Names = id, []string{"same"}
		})
		ids = append(ids, id.String())
	}
	text := get(t, metrics.NewAdmin(src, metrics.AdminOptions{}), "/metrics", 200)
	for _, id := range ids {
		if !strings.Contains(text, `nsreactor_namespace_connections{netns="same",netns_id="`+id+`"} 0`) {
			t.Errorf("no series for %s", id)
		}
	}
}

// An engine that serves, scraped over HTTP.
func TestEngine(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	eng, err := engine.New(engine.Config{Loops: 2, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Handle("tcp", 7, echo{}, engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- eng.Run(ctx) }()
	admin, err := metrics.Serve("127.0.0.1:0", eng, metrics.AdminOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, admin)
	defer func() {
		stop()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if text := fetch(t, admin.Addr(), "/readyz"); !strings.Contains(text, "stopped") {
			t.Errorf("after the end: %s", text)
		}
	}()
	if _, err := eng.Attach(nsctx.ByPath(tenant.Path)); err != nil {
		t.Fatal(err)
	}
	conn, err := tenant.DialLocal(ctx, "tcp", 7)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	text := fetch(t, admin.Addr(), "/metrics")
	labels := `{netns="a",netns_id="` + tenant.NS.ID().String() + `"} `
	for _, want := range []string{
		"nsreactor_namespace_connections_accepted_total" + labels + "1",
		"nsreactor_namespace_received_bytes_total" + labels + "5",
		"nsreactor_namespace_listeners" + labels + "1",
		`nsreactor_namespaces{state="serving"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if text := fetch(t, admin.Addr(), "/namespaces?name=a"); !strings.Contains(text, `"port":7`) {
		t.Errorf("no listener: %s", text)
	}
}

type echo struct{ engine.BaseHandler }

func (echo) OnData(c *engine.Conn) {
	if p, err := c.Next(c.Buffered()); err == nil {
		_, _ = c.Write(p)
	}
}
