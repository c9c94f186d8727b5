package nsctx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func mustTrack(t *testing.T, ns *nsctx.Namespace) *nsctx.Release {
	t.Helper()
	r, err := ns.Track()
	check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func stillThere(t *testing.T, r *nsctx.Release) {
	t.Helper()
	if gone, err := r.Gone(); gone || err != nil {
		t.Errorf("gone: %t, %v", gone, err)
	}
}

func TestReleaseSeesTheLastReferenceGo(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	r := mustTrack(t, tenant.NS)
	if r.Method() != nsctx.MethodHandle {
		t.Errorf("method %s", r.Method())
	}
	fd := mustOpen(t, nsctx.ByPath(tenant.Path))
	listener, err := tenant.Listen(t.Context(), "tcp", 0)
	check(t, err)

	stillThere(t, r)
	check(t, tenant.Delete())
	stillThere(t, r) // a descriptor and a listener
	check(t, fd.Close())
	stillThere(t, r) // a listener
	check(t, listener.Close())
	check(t, r.Wait(patient(t)))
	gone, err := r.Gone()
	check(t, err)
	if !gone {
		t.Error("not gone after Wait")
	}
}

func TestReleaseIsNotFooledByASuccessor(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	for range 50 {
		r := mustTrack(t, tenant.NS)
		check(t, tenant.Recreate())
		check(t, r.Wait(patient(t)))
	}
}

func TestReleaseSeesAParkedThread(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	r := mustTrack(t, tenant.NS)
	check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
		check(t, th.Enter(tenant.NS))
		check(t, tenant.Delete())
		stillThere(t, r)
		check(t, th.Home())
	}))
	check(t, r.Wait(patient(t)))
}

func TestWaitEndsWithItsContext(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	r := mustTrack(t, tenant.NS)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Wait(ctx) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsWait(t *testing.T) {
	tenant := nstest.New(t).MustAddBare(t, "a")
	r := mustTrack(t, tenant.NS)
	ended := make(chan error)
	go func() { ended <- r.Wait(context.Background()) }()
	check(t, r.Close())
	check(t, r.Close())
	if err := <-ended; !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
