package nsctx_test

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// onMain is what LockThread says on the main thread, where only init can put a
// goroutine for certain.
var onMain error

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if os.Getenv(asksPrivilege) != "" {
		answerPrivilege()
	}
	_, onMain = nsctx.LockThread()
	runtime.UnlockOSThread() // so that tests may run on the main thread too
	nstest.Main(m)
}

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
	check(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
