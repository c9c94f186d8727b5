package engine_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// outlive opens a tenant's peer, which Delete gives up: a client's namespace
// must stay for the client to see its end.
func outlive(t *testing.T, tenant *nstest.Tenant) *nstest.Tenant {
	t.Helper()
	peer, err := nsctx.ByFD(tenant.Peer.FD()).Open()
	must(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	return &nstest.Tenant{Name: tenant.Name, Peer: peer, Addr4: tenant.Addr4, Addr6: tenant.Addr6}
}

// released waits until the kernel has confirmed that a namespace is gone.
func released(t testing.TB, ns *engine.Namespace) {
	t.Helper()
	select {
	case <-ns.Released():
	case <-time.After(hang):
		t.Fatalf("%s is never released; held: %+v", ns.Name(), ns.Snapshot().Holds)
	}
	if state := ns.State(); state != engine.StateReleased {
		t.Errorf("%s is %v", ns.Name(), state)
	}
	if ns.Snapshot().Holds.Ours() {
		t.Errorf("%s is released and held: %+v", ns.Name(), ns.Snapshot().Holds)
	}
}

// confirmed is the state of the count after releases that the kernel has
// confirmed.
func confirmed(t testing.TB, eng *engine.Engine, want uint64) {
	t.Helper()
	if s := eng.Stats(); s.Released != want || s.Abandoned != 0 {
		t.Errorf("%d released and %d abandoned, want %d and 0", s.Released, s.Abandoned, want)
	}
}

// The promise: when a namespace's name goes, its listeners close at once, each
// connection gets OnDrain, in a namespace that is draining, and is closed when
// its last bytes are out, none of which is lost; then the kernel confirms that
// the namespace is gone.
func TestDeleteDrains(t *testing.T) {
	const farewell = 1 << 20
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 2, DrainTimeout: time.Hour})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	tenant := lab.MustAdd(t, "a")
	var callers []*caller
	for range 4 {
		callers = append(callers, callWhenServed(t, tenant, "tcp"))
	}
	id := tenant.NS.ID()
	ns := attached(t, eng, id)
	for _, c := range callers {
		c.expect(t, "farewell 1048576", "ok")
	}
	callers[0].expect(t, "stay", "ok")
	peer := outlive(t, tenant)
	must(t, tenant.Delete())
	for _, c := range callers[1:] {
		rest, err := c.rest()
		if err != nil || len(rest) != farewell+len("drain\n") || !strings.HasSuffix(rest, "drain\n") {
			t.Errorf("%d bytes of the farewell came, then %v", len(rest), err)
		}
		_ = c.Close()
	}
	eventually(t, "both loops have drained", func() bool {
		return len(w.endings(id)) == len(callers)-1 && ns.Snapshot().Holds.Listeners == 0
	})
	if s := ns.Snapshot(); s.State != engine.StateDraining || s.Holds.Conns != 1 || !s.Holds.Ours() {
		t.Errorf("with one connection left: %v, %+v", s.State, s.Holds)
	}
	if _, err := peer.Dial(hanging(t), "tcp", lifePort); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to a draining namespace: %v", err)
	}
	callers[0].expectWho(t, id) // it is still served
	_ = callers[0].Close()
	released(t, ns)
	confirmed(t, eng, 1)
	if n := w.count("OnDrain", id); n != len(callers) {
		t.Errorf("%d of %d were told", n, len(callers))
	}
	for _, end := range w.endings(id) {
		if end.err != nil {
			t.Errorf("OnClose got %v", end.err)
		}
	}
	if listed := eng.Namespaces(); len(listed) != 0 {
		t.Errorf("still listed: %v", listed)
	}
	w.check(t)
}

// The promise: a connection that ignores OnDrain is reset when the drain's
// time is up, with ErrDrained, and counted; it keeps nothing.
func TestDrainTimeoutResets(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1, DrainTimeout: 50 * time.Millisecond})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	id := tenant.NS.ID()
	ns := attached(t, eng, id)
	c := call(t, tenant, "tcp")
	c.expect(t, "stay", "ok")
	outlive(t, tenant)
	must(t, tenant.Delete())
	if rest, err := c.rest(); rest != "" || !isReset(err) {
		t.Errorf("got %q, %v; want a reset", rest, err)
	}
	released(t, ns)
	confirmed(t, eng, 1)
	ends := w.endings(id)
	if len(ends) != 1 || !errors.Is(ends[0].err, engine.ErrDrained) {
		t.Errorf("OnClose got %v", ends)
	}
	var typed *engine.Error
	if !errors.As(ends[0].err, &typed) || typed.Namespace != "a" || !typed.Addr.IsValid() {
		t.Errorf("OnClose's error is %#v", ends[0].err)
	}
	if n := ns.Snapshot().Errors[engine.ErrorDrain]; n != 1 {
		t.Errorf("%d counted", n)
	}
	w.check(t)
}

// The promise: those who wait in the backlog when the drain begins have a
// connection, as they see it: they are served, told and closed in order.
func TestBacklogIsServedBeforeADrain(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1})
	h := &batchWitness{held: make(chan struct{}), gate: make(chan struct{})}
	must(t, eng.Handle("tcp", lifePort, h))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	gate := call(t, tenant, "tcp")
	say(t, gate, "g")
	<-h.held
	var callers []*caller
	for range 20 {
		callers = append(callers, call(t, tenant, "tcp"))
	}
	detached := make(chan error, 1)
	go func() { detached <- eng.Detach(hanging(t), ns) }()
	eventually(t, "draining", func() bool { return ns.State() == engine.StateDraining })
	h.gate <- struct{}{}
	for i, c := range append(callers, gate) {
		if rest, err := c.rest(); err != nil {
			t.Errorf("connection %d: %q, %v", i, rest, err)
		}
		_ = c.Close()
	}
	must(t, <-detached)
	if s := ns.Snapshot(); s.Rejected != 0 || s.Accepted != uint64(len(callers)+1) {
		t.Errorf("%d accepted, %d rejected", s.Accepted, s.Rejected)
	}
}

// The promise: a loop whose thread is parked in a namespace is evicted when it
// drains, however long it might have stayed otherwise.
func TestParkedLoopsAreEvicted(t *testing.T) {
	for _, mode := range []struct {
		name    string
		options []engine.HandleOption
		line    string
	}{
		{name: "namespace", line: "where"},
		{name: "anywhere", options: []engine.HandleOption{engine.AnyNamespace}, line: "enter"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			lab := nstest.New(t)
			eng := tameEngine(t, engine.Config{Loops: 2, Accept: engine.AcceptSpread, ParkTimeout: time.Hour})
			must(t, eng.Handle("tcp", lifePort, &witness{anywhere: true}, mode.options...))
			tenant := lab.MustAddBare(t, "a")
			must(t, eng.Watch(lab.Dir()))
			ns := attached(t, eng, tenant.NS.ID())
			first, second := call(t, tenant, "tcp"), call(t, tenant, "tcp")
			for _, c := range []*caller{first, second} {
				c.expect(t, mode.line, tenant.NS.ID().String())
			}
			_, _ = first.Close(), second.Close() // not before both are accepted, or they might share a loop
			eventually(t, "both loops are parked", func() bool {
				s := ns.Snapshot()
				return s.Conns == 0 && slices.Equal(s.Holds.ParkedLoops, []int{0, 1})
			})
			for _, l := range eng.Stats().Loops {
				if l.Namespace != "a" {
					t.Errorf("loop %d is in %q", l.Index, l.Namespace)
				}
			}
			must(t, tenant.Delete())
			released(t, ns)
			confirmed(t, eng, 1)
			for _, l := range eng.Stats().Loops {
				if l.Namespace != "" {
					t.Errorf("loop %d is in %q", l.Index, l.Namespace)
				}
			}
		})
	}
}

// The promise: an idle loop goes home by itself, so that a namespace which
// somebody else ends is not kept by it.
func TestIdleLoopGoesHome(t *testing.T) {
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 1, ParkTimeout: time.Millisecond})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	tenant := lab.MustAddBare(t, "a")
	must(t, eng.Watch(lab.Dir()))
	c := call(t, tenant, "tcp")
	c.expectWho(t, tenant.NS.ID())
	eventually(t, "the loop is home", func() bool {
		s := eng.Stats()
		return s.Loops[0].Namespace == "" && s.Loops[0].Switches >= 2 && len(s.Namespaces[0].Holds.ParkedLoops) == 0
	})
	c.expectWho(t, tenant.NS.ID())
}

// The promise: a namespace that somebody else holds stays draining, and Stats
// says that it is not us, until it is let go of.
func TestHeldBySomebodyElse(t *testing.T) {
	lab := nstest.New(t)
	for _, holder := range []struct {
		name string
		hold func(t *testing.T, tenant *nstest.Tenant) (letGo func())
	}{
		{"descriptor", func(t *testing.T, tenant *nstest.Tenant) func() {
			fd, err := os.Open(tenant.Path)
			must(t, err)
			return func() { must(t, fd.Close()) }
		}},
		{"socket", func(t *testing.T, tenant *nstest.Tenant) func() {
			l, err := tenant.Listen(hanging(t), "tcp", 99)
			must(t, err)
			return func() { must(t, l.Close()) }
		}},
		{"mount", func(t *testing.T, tenant *nstest.Tenant) func() {
			elsewhere := t.TempDir() + "/other"
			must(t, os.WriteFile(elsewhere, nil, 0o600))
			must(t, unix.Mount(tenant.Path, elsewhere, "", unix.MS_BIND, ""))
			return func() { must(t, unix.Unmount(elsewhere, unix.MNT_DETACH)) }
		}},
	} {
		t.Run(holder.name, func(t *testing.T) {
			eng := tameEngine(t, engine.Config{Loops: 2})
			must(t, eng.Handle("tcp", lifePort, new(witness)))
			tenant := lab.MustAddBare(t, "a")
			must(t, eng.Watch(lab.Dir()))
			ns := attached(t, eng, tenant.NS.ID())
			c := call(t, tenant, "tcp")
			c.expectWho(t, tenant.NS.ID())
			_ = c.Close()
			letGo := holder.hold(t, tenant)
			must(t, tenant.Delete())
			eventually(t, "our part has ended", func() bool {
				return ns.State() == engine.StateDraining && !ns.Snapshot().Holds.Ours()
			})
			s := eng.Stats()
			if len(s.Namespaces) != 1 || s.Namespaces[0].State != engine.StateDraining || s.Released != 0 {
				t.Errorf("while held by another: %+v, %d released", s.Namespaces, s.Released)
			}
			if isClosed(ns.Released()) {
				t.Error("released while it is held")
			}
			letGo()
			released(t, ns)
			confirmed(t, eng, 1)
		})
	}
}

// The promise: whoever waits with Detach for a namespace that is draining
// anyway waits for the end of our part only.
func TestDetachOfADrainingNamespace(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	fd, err := os.Open(tenant.Path)
	must(t, err)
	must(t, tenant.Delete())
	eventually(t, "our part has ended", func() bool {
		return ns.State() == engine.StateDraining && !ns.Snapshot().Holds.Ours()
	})
	must(t, eng.Detach(hanging(t), ns))
	released(t, ns)
	must(t, fd.Close())
	must(t, eng.Detach(hanging(t), ns)) // once more does nothing
	if s := eng.Stats(); s.Released != 0 || s.Abandoned != 1 {
		t.Errorf("%d released, %d abandoned: nobody knows that it is gone", s.Released, s.Abandoned)
	}
}
