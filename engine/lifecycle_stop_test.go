package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: Shutdown may come while namespaces are being attached, watched,
// detached and deleted. Every call returns, with nil or with what happened;
// afterwards nothing is attached and nothing of any namespace is held.
func TestShutdownAmidChanges(t *testing.T) {
	const rounds, hands = 8, 4
	for round := range rounds {
		lab := nstest.New(t)
		eng := tameEngine(t, engine.Config{Loops: 2, DrainTimeout: hang})
		must(t, eng.Handle("tcp", lifePort, new(witness)))
		if round%2 == 0 {
			must(t, eng.Watch(lab.Dir()))
		}
		ctx, cancel := context.WithCancel(context.Background())
		busy := make(chan struct{}, hands*100)
		var workers sync.WaitGroup
		for i := range hands {
			workers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					if err := change(eng, lab, fmt.Sprintf("t%d-%d", i, n)); err != nil {
						t.Error(err)
						return
					}
					select {
					case busy <- struct{}{}:
					default:
					}
				}
			})
		}
		for range hands * (round + 1) {
			<-busy
		}
		must(t, eng.Shutdown(hanging(t)))
		cancel()
		workers.Wait()
		if all := eng.Namespaces(); len(all) != 0 {
			t.Errorf("attached after Shutdown: %v", all)
		}
		for _, l := range eng.Stats().Loops {
			if l.Conns != 0 || l.Listeners != 0 || l.Mailbox != 0 || l.Namespace != "" {
				t.Errorf("left over: %+v", l)
			}
		}
	}
}

// change is a short life in which everything is tried. It returns what must
// not happen.
func change(eng *engine.Engine, lab *nstest.Lab, name string) (err error) {
	tenant, err := lab.AddBare(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tenant.Delete()) }()
	release, err := tenant.NS.Track()
	if err != nil {
		return err
	}
	defer release.Close()
	if err := eng.Watch(lab.Dir(), engine.Match(name)); err != nil && !errors.Is(err, engine.ErrStopped) {
		return err
	}
	if err := eng.Handle("tcp", lifePort, new(witness)); !errors.Is(err, engine.ErrBadHandle) && !errors.Is(err, engine.ErrStopped) {
		return err
	}
	ns, err := eng.Attach(nsctx.ByFD(tenant.NS.FD()))
	switch {
	case errors.Is(err, engine.ErrStopped):
		return nil
	case err != nil:
		return err
	}
	gone := ns.State() == engine.StateReleased
	if err := ask(tenant, "tcp"); err == nil && gone {
		return errors.New("served after its release")
	}
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if err := eng.Detach(ctx, ns); err != nil && !errors.Is(err, engine.ErrStopped) {
		return err
	}
	if err := tenant.Delete(); err != nil {
		return err
	}
	return release.Wait(ctx)
}

// The promise: an engine that has stopped says so to every call, and stopping
// again is no error.
func TestAfterShutdown(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 2})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	must(t, eng.Shutdown(hanging(t)))
	must(t, eng.Shutdown(hanging(t)))
	_, attachErr := eng.Attach(nsctx.ByPath(tenant.Path))
	for what, err := range map[string]error{
		"Attach":       attachErr,
		"Watch":        eng.Watch(lab.Dir()),
		"another":      eng.Watch(t.TempDir()),
		"Handle":       eng.Handle("tcp", lifePort+1, new(witness)),
		"Detach":       eng.Detach(hanging(t), ns),
		"a bad Handle": eng.Handle("tcp", lifePort, new(witness)),
	} {
		var typed *engine.Error
		if !errors.Is(err, engine.ErrStopped) || !errors.As(err, &typed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	released(t, ns)
	s := eng.Stats()
	if !s.Stopped || !s.Draining || len(s.Namespaces) != 0 || s.Abandoned != 1 || s.Released != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := tenant.Dial(hanging(t), "tcp", lifePort); err == nil {
		t.Error("served after Shutdown")
	}
	gone := track(t, tenant)
	must(t, tenant.Delete())
	gone()
}

// The promise: Shutdown tells every connection, and says how many it had to
// reset.
func TestShutdownResets(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAdd(t, "a"), lab.MustAdd(t, "b")
	eng, err := engine.New(engine.Config{Loops: 2, DrainTimeout: 50 * time.Millisecond, CheckThread: true})
	must(t, err)
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	var stubborn []*caller
	for _, tenant := range []*nstest.Tenant{a, b, a} {
		c := call(t, tenant, "tcp")
		c.expect(t, "stay", "ok")
		stubborn = append(stubborn, c)
	}
	polite := call(t, b, "tcp")
	polite.expectWho(t, b.NS.ID())
	stopped := make(chan error, 1)
	go func() { stopped <- eng.Shutdown(context.Background()) }()
	if rest, err := polite.rest(); rest != "drain\n" || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	_ = polite.Close()
	for _, c := range stubborn {
		if rest, err := c.rest(); rest != "" || !isReset(err) {
			t.Errorf("got %q, %v; want a reset", rest, err)
		}
	}
	err = <-stopped
	if want := "3 connections were reset"; !errors.Is(err, engine.ErrDrained) || err.Error() != fmt.Sprintf("engine: shutdown: %v: %s", engine.ErrDrained, want) {
		t.Errorf("Shutdown: %v", err)
	}
	if n := w.count("OnDrain", a.NS.ID()) + w.count("OnDrain", b.NS.ID()); n != 4 {
		t.Errorf("%d of 4 were told", n)
	}
	w.check(t)
}

// The promise: a watch that is waiting for its first look is not left hanging
// by a Shutdown.
func TestShutdownDuringWatch(t *testing.T) {
	lab := nstest.New(t)
	for i := range 64 {
		lab.MustAddBare(t, fmt.Sprintf("t%d", i))
	}
	for range 5 {
		eng := tameEngine(t, engine.Config{Loops: 2})
		must(t, eng.Handle("tcp", lifePort, new(witness)))
		watched := make(chan error, 1)
		go func() { watched <- eng.Watch(lab.Dir()) }()
		eventually(t, "the first is attached", func() bool { return len(eng.Namespaces()) > 0 })
		must(t, eng.Shutdown(hanging(t)))
		if err := <-watched; err != nil && !errors.Is(err, engine.ErrStopped) {
			t.Errorf("Watch: %v", err)
		}
		if all := eng.Namespaces(); len(all) != 0 {
			t.Errorf("attached after Shutdown: %v", all)
		}
		if _, err := eng.Attach(nsctx.ByPath(lab.Path("nothing"))); !errors.Is(err, engine.ErrStopped) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Attach: %v", err)
		}
	}
}
