package handlers_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// patience is met by a hang only.
const patience = 30 * time.Second

// rig is an engine that serves one handler in one tenant.
type rig struct {
	eng    *engine.Engine
	tenant *nstest.Tenant
}

// serve makes a rig. When the test ends, its engine has to drain without
// resetting a connection.
func serve(t *testing.T, cfg engine.Config, h engine.Handler, options ...engine.HandleOption) rig {
	t.Helper()
	lab := nstest.New(t)
	r := rig{tenant: lab.MustAdd(t, "a")}
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.eng = eng
	t.Cleanup(func() { r.shutdown(t) })
	if err := eng.Handle("tcp", 7, h, options...); err != nil {
		t.Fatal(err)
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rig) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.eng.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// dial connects to the tenant. The connection is closed when the test ends,
// before the engine is.
func (r rig) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := r.tenant.Dial(t.Context(), "tcp", 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// stats is the tenant's part of the engine's.
func (r rig) stats(t *testing.T) engine.NamespaceStats {
	t.Helper()
	for _, s := range r.eng.Stats().Namespaces {
		if s.ID == r.tenant.NS.ID() {
			return s
		}
	}
	t.Fatal("the tenant is not attached")
	return engine.NamespaceStats{}
}
