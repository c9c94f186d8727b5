package nsctx_test

import (
	"context"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// patience bounds what must happen some time; no test depends on how soon.
const patience = 30 * time.Second

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func mustOpen(t testing.TB, ref nsctx.Ref) *nsctx.Namespace {
	t.Helper()
	ns, err := ref.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}
