package docs

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// patience is met by a hang only.
const patience = 30 * time.Second

// site is a lab of tenants that have the same address.
type site struct {
	*nstest.Lab
	tenants map[string]*nstest.Tenant
}

// start is an engine, and two tenants that it has not attached yet.
func start(t *testing.T) (*engine.Engine, *site) {
	t.Helper()
	lab := &site{nstest.New(t), make(map[string]*nstest.Tenant)}
	for _, name := range []string{"tenant-a", "tenant-b"} {
		lab.tenants[name] = lab.MustAdd(t, name)
	}
	eng, err := engine.New(engine.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), DrainTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = eng.Shutdown(ctx) // some snippets leave connections open, which are reset
	})
	return eng, lab
}

// serve is start with a handler on port 7000, in both tenants.
func serve(t *testing.T, h engine.Handler) (*engine.Engine, *site) {
	t.Helper()
	eng, lab := start(t)
	must(t, eng.Handle("tcp", 7000, h))
	must(t, eng.Watch(lab.Dir()))
	return eng, lab
}

// hanging is a context that only a hang outlives.
func hanging(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), patience)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects to a tenant from the other end of its veth.
func dial(t *testing.T, lab *site, tenant string) *net.TCPConn {
	t.Helper()
	conn, err := lab.tenants[tenant].Dial(t.Context(), "tcp", 7000)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// ask sends something to both tenants, and wants the answer and the end.
func ask(t *testing.T, lab *site, send, want string) {
	t.Helper()
	for _, tenant := range []string{"tenant-a", "tenant-b"} {
		conn := dial(t, lab, tenant)
		if _, err := conn.Write([]byte(send)); err != nil {
			t.Fatal(err)
		}
		must(t, conn.CloseWrite())
		got, err := io.ReadAll(conn)
		if string(got) != want || err != nil {
			t.Errorf("%s: %q was answered by %q, %v; not %q", tenant, send, got, err, want)
		}
	}
}
