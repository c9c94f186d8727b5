package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// load asks tenants in turn who they are, over one connection each, until it
// is stopped, and fails the test if an answer is lost, late or another's.
func load(t *testing.T, tenants ...*nstest.Tenant) (stop func() (answers int)) {
	t.Helper()
	var callers []*caller
	var ids []nsctx.ID
	for _, tenant := range tenants {
		callers = append(callers, call(t, tenant, "tcp"))
		ids = append(ids, tenant.NS.ID())
	}
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	answers := 0
	clients.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			c, id := callers[i%len(callers)], ids[i%len(ids)]
			_ = c.SetDeadline(time.Now().Add(hang))
			want := fmt.Sprintf("%v %d", id, i)
			if got, err := c.try(fmt.Sprintf("who %d", i)); got != want || err != nil {
				t.Errorf("request %d: got %q, %v; want %q", i, got, err, want)
				return
			}
			answers++
		}
	})
	return func() int {
		cancel()
		clients.Wait()
		for _, c := range callers {
			_ = c.Close()
		}
		return answers
	}
}

// The promise: a name that comes back within a millisecond as another
// namespace is another namespace. The new one is never served as the old, all
// old ones are released, and nobody else notices.
func TestRecreatedUnderTheSameName(t *testing.T) {
	const times = 50
	lab := nstest.New(t)
	stable := lab.MustAdd(t, "stable")
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	stop := load(t, stable)
	tenant := lab.MustAddBare(t, "a")
	var olds []*engine.Namespace
	for range times {
		var callers []*caller
		for range 3 {
			c := callWhenServed(t, tenant, "tcp")
			c.expectWho(t, tenant.NS.ID())
			callers = append(callers, c)
		}
		olds = append(olds, attached(t, eng, tenant.NS.ID()))
		must(t, tenant.Recreate()) // its connections are still open
		for _, c := range callers {
			if rest, err := c.rest(); rest != "drain\n" || err != nil {
				t.Errorf("when drained: %q, %v", rest, err)
			}
			_ = c.Close() // it is in the old namespace, too
		}
	}
	for _, ns := range olds {
		released(t, ns)
	}
	callWhenServed(t, tenant, "tcp").expectWho(t, tenant.NS.ID())
	if answers := stop(); answers == 0 {
		t.Error("no load")
	}
	confirmed(t, eng, times)
	w.check(t)
}

// The promise: it also holds when a name comes back faster than anybody can
// look. What was never seen is never served; the last one is.
func TestRecreatedFasterThanSeen(t *testing.T) {
	const times = 50
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	tenant := lab.MustAddBare(t, "a")
	ids := map[nsctx.ID]bool{tenant.NS.ID(): true}
	for range times {
		must(t, tenant.Recreate())
		ids[tenant.NS.ID()] = true
	}
	if len(ids) != times+1 {
		t.Fatalf("%d identities for %d namespaces", len(ids), times+1)
	}
	callWhenServed(t, tenant, "tcp").expectWho(t, tenant.NS.ID())
	eventually(t, "only the last is left", func() bool {
		all := eng.Namespaces()
		return len(all) == 1 && all[0].ID() == tenant.NS.ID()
	})
	if s := eng.Stats(); s.Released > times || s.Abandoned != 0 {
		t.Errorf("%d released, %d abandoned", s.Released, s.Abandoned)
	}
	w.check(t)
}

// The promise: two names of one namespace attach once. Without one of them it
// is served on; without the last it drains.
func TestAliases(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	must(t, lab.Alias("a", "b"))
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	if all := eng.Namespaces(); len(all) != 1 {
		t.Fatalf("%d namespaces for two names of one", len(all))
	}
	ns := attached(t, eng, tenant.NS.ID())
	names := func(want ...string) func() bool {
		return func() bool {
			got := ns.Names()
			slices.Sort(got)
			return slices.Equal(got, want)
		}
	}
	if !names("a", "b")() {
		t.Errorf("named %v", ns.Names())
	}
	must(t, lab.Alias("b", "c"))
	eventually(t, "c is a name too", names("a", "b", "c"))
	c := call(t, tenant, "tcp")
	must(t, lab.Unalias("b"))
	eventually(t, "b is no name any more", names("a", "c"))
	c.expectWho(t, tenant.NS.ID())
	call(t, tenant, "tcp").expectWho(t, tenant.NS.ID())
	must(t, lab.Unalias("c"))
	eventually(t, "c is no name any more", names("a"))
	c.expectWho(t, tenant.NS.ID())
	if ns.State() != engine.StateServing || len(eng.Namespaces()) != 1 {
		t.Errorf("%v with its first name left", ns.State())
	}
	must(t, tenant.Delete())
	if rest, err := c.rest(); rest != "drain\n" || err != nil {
		t.Errorf("when drained: %q, %v", rest, err)
	}
	_ = c.Close()
}

// The promise: an alias in another directory counts, too.
func TestAliasElsewhere(t *testing.T) {
	here, there := nstest.New(t), nstest.New(t)
	tenant := here.MustAddBare(t, "a")
	alias := there.Path("elsewhere")
	must(t, os.Symlink(tenant.Path, alias))
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(here.Dir()))
	must(t, eng.Watch(there.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	if got := ns.Names(); !slices.Equal(got, []string{"a", "elsewhere"}) || len(eng.Namespaces()) != 1 {
		t.Errorf("named %v, %d namespaces", got, len(eng.Namespaces()))
	}
	must(t, os.Remove(alias))
	eventually(t, "one name is left", func() bool { return slices.Equal(ns.Names(), []string{"a"}) })
	callWhenServed(t, tenant, "tcp").expectWho(t, tenant.NS.ID())
}

// byName makes a name in /run/netns for a tenant, as a link.
func byName(t *testing.T, tenant *nstest.Tenant) (name string, remove func()) {
	t.Helper()
	if err := os.Mkdir(nsctx.NamedDir, 0o755); err == nil {
		t.Cleanup(func() { _ = os.Remove(nsctx.NamedDir) }) // not if somebody else has a name there by now
	}
	name = fmt.Sprintf("nsreactor-%d", os.Getpid())
	link := nsctx.NamedDir + "/" + name
	must(t, os.Symlink(tenant.Path, link))
	t.Cleanup(func() { _ = os.Remove(link) })
	return name, func() { must(t, os.Remove(link)) }
}

// resident starts a process inside a tenant.
func resident(t *testing.T, tenant *nstest.Tenant) (pid int) {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, tenant.NS.Do(cmd.Start))
	t.Cleanup(func() {
		_ = in.Close()
		must(t, cmd.Wait())
	})
	return cmd.Process.Pid
}

// The promise: however a namespace is referred to, it attaches once, is
// served, can be detached while its name stays, and attached again.
func TestAttachVariants(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	name, _ := byName(t, tenant)
	variants := []struct {
		label string
		ref   nsctx.Ref
	}{
		{"a", nsctx.ByPath(tenant.Path)},
		{name, nsctx.ByName(name)},
		{fmt.Sprintf("fd:%d", tenant.NS.FD()), nsctx.ByFD(tenant.NS.FD())},
	}
	pid := resident(t, tenant)
	variants = append(variants, struct {
		label string
		ref   nsctx.Ref
	}{fmt.Sprintf("pid:%d", pid), nsctx.ByPID(pid)})

	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	for _, v := range variants {
		t.Run(v.ref.String(), func(t *testing.T) {
			ns, err := eng.Attach(v.ref)
			must(t, err)
			if ns.Name() != v.label || ns.ID() != tenant.NS.ID() || ns.State() != engine.StateServing {
				t.Errorf("attached %s, %v, %v", ns.Name(), ns.ID(), ns.State())
			}
			for _, other := range variants {
				again, err := eng.Attach(other.ref)
				must(t, err)
				if again != ns {
					t.Errorf("%v is attached twice", other.ref)
				}
			}
			if len(ns.Names()) != len(variants) {
				t.Errorf("named %v", ns.Names())
			}
			c := call(t, tenant, "tcp")
			c.expectWho(t, tenant.NS.ID())
			detached := make(chan error, 1)
			go func() { detached <- eng.Detach(hanging(t), ns) }()
			if rest, err := c.rest(); rest != "drain\n" || err != nil {
				t.Errorf("when detached: %q, %v", rest, err)
			}
			_ = c.Close()
			must(t, <-detached)
			released(t, ns)
			if all := eng.Namespaces(); len(all) != 0 {
				t.Errorf("attached still, or again: %v", all)
			}
		})
	}
	w.check(t)
}

// The promise: home is a namespace like others, and a handler that serves it
// costs no switch.
func TestAttachHome(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1})
	w := new(witness)
	must(t, eng.Handle("tcp", 0, w))
	home, err := eng.Attach(nsctx.Home())
	must(t, err)
	if home.Name() != "home" || home.ID() != homeID(t) {
		t.Errorf("attached %s, %v", home.Name(), home.ID())
	}
	homeNS, err := nsctx.Home().Open()
	must(t, err)
	defer homeNS.Close()
	local := &nstest.Tenant{NS: homeNS}
	ask := func(tenant *nstest.Tenant, ns *engine.Namespace, line, answer string) {
		t.Helper()
		conn, err := tenant.DialLocal(hanging(t), "tcp", ns.Port("tcp", 0))
		must(t, err)
		defer conn.Close()
		newCaller(conn).expect(t, line, answer)
	}
	ask(local, home, "who", home.ID().String()+" ")
	ask(local, home, "switches", "0")
	ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
	must(t, err)
	ask(tenant, ns, "who", tenant.NS.ID().String()+" ")
	ask(local, home, "who", home.ID().String()+" ")
	must(t, eng.Detach(hanging(t), home))
	ask(tenant, ns, "who", tenant.NS.ID().String()+" ")
	if n := home.Port("tcp", 0); home.State() != engine.StateReleased {
		t.Errorf("home is %v, port %d", home.State(), n)
	}
	w.check(t)
}

// The promise: a namespace that was attached by a path or a name is drained
// when that goes; the name may be a link.
func TestVanishedPathDrainsWhatWasAttachedByIt(t *testing.T) {
	lab := nstest.New(t)
	t.Run("path", func(t *testing.T) {
		eng := tameEngine(t, engine.Config{Loops: 1})
		must(t, eng.Handle("tcp", lifePort, new(witness)))
		tenant := lab.MustAddBare(t, "a")
		ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
		must(t, err)
		must(t, tenant.Delete())
		released(t, ns)
		confirmed(t, eng, 1)
	})
	t.Run("name", func(t *testing.T) {
		eng := tameEngine(t, engine.Config{Loops: 1})
		must(t, eng.Handle("tcp", lifePort, new(witness)))
		tenant := lab.MustAddBare(t, "a")
		name, remove := byName(t, tenant)
		ns, err := eng.Attach(nsctx.ByName(name))
		must(t, err)
		remove()
		eventually(t, "it drains", func() bool { return ns.State() == engine.StateDraining && !ns.Snapshot().Holds.Ours() })
		must(t, tenant.Delete())
		released(t, ns)
		confirmed(t, eng, 1)
	})
}

// The promise: a namespace that was attached by something that can't go away
// survives the end of its names; only Detach ends it.
func TestKeptUntilDetach(t *testing.T) {
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	tenant := lab.MustAddBare(t, "a")
	held, err := nsctx.ByFD(tenant.NS.FD()).Open()
	must(t, err)
	defer held.Close()
	var ns *engine.Namespace
	eventually(t, "attached by its name", func() bool {
		all := eng.Namespaces()
		return len(all) == 1 && all[0].Name() == "a"
	})
	ns, err = eng.Attach(nsctx.ByFD(held.FD()))
	must(t, err)
	must(t, lab.Alias("a", "b"))
	eventually(t, "the watch goes on", func() bool { return slices.Contains(ns.Names(), "b") })
	must(t, lab.Unalias("b"))
	must(t, tenant.Delete())
	eventually(t, "its names are gone", func() bool { return !slices.Contains(ns.Names(), "a") })
	if state := ns.State(); state != engine.StateServing {
		t.Errorf("%v", state)
	}
	alive := &nstest.Tenant{Name: "a", NS: held, Addr4: tenant.Addr4, Addr6: tenant.Addr6}
	c := call(t, alive, "tcp")
	c.expectWho(t, held.ID())
	_ = c.Close()
	must(t, eng.Detach(hanging(t), ns))
	released(t, ns)
}

// The promise: Detach returns although the name is still there, which is not
// attached again by itself; Attach serves it again, and its end is noticed.
func TestAttachAgainAfterDetach(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(lab.Dir()))
	id := tenant.NS.ID()
	first := attached(t, eng, id)
	must(t, eng.Detach(hanging(t), first))
	if _, err := tenant.Dial(hanging(t), "tcp", lifePort); err == nil {
		t.Error("a detached namespace is served")
	}
	lab.MustAddBare(t, "b")
	eventually(t, "the watch goes on", func() bool { return len(eng.Namespaces()) == 1 })
	second, err := eng.Attach(nsctx.ByPath(tenant.Path))
	must(t, err)
	if second == first || second.State() != engine.StateServing {
		t.Errorf("attached again: the same %t, %v", second == first, second.State())
	}
	c := call(t, tenant, "tcp")
	c.expectWho(t, id)
	_ = c.Close()
	must(t, eng.Detach(hanging(t), first)) // is nothing to the second
	if second.State() != engine.StateServing {
		t.Errorf("%v", second.State())
	}
	must(t, tenant.Delete())
	released(t, second)
	if s := eng.Stats(); s.Released != 1 || s.Abandoned != 1 {
		t.Errorf("%d released, %d abandoned", s.Released, s.Abandoned)
	}
	w.check(t)
}

// The promise: Detach of what isn't ours says so, and its context bounds both
// the drain and the wait.
func TestDetachErrors(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	ours, theirs := tameEngine(t, engine.Config{Loops: 1}), tameEngine(t, engine.Config{Loops: 1})
	w := new(witness)
	must(t, ours.Handle("tcp", lifePort, w))
	ns, err := ours.Attach(nsctx.ByPath(tenant.Path))
	must(t, err)
	for _, stranger := range []*engine.Namespace{nil, ns} {
		var typed *engine.Error
		err := theirs.Detach(hanging(t), stranger)
		if !errors.Is(err, engine.ErrNotAttached) || !errors.As(err, &typed) {
			t.Errorf("Detach of a stranger: %v", err)
		}
	}
	if ns.State() != engine.StateServing {
		t.Errorf("%v", ns.State())
	}

	c := call(t, tenant, "tcp")
	c.expect(t, "stay", "ok")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := ours.Detach(ctx, ns); !errors.Is(err, context.Canceled) {
		t.Errorf("Detach without time: %v", err)
	}
	c.expectWho(t, tenant.NS.ID()) // it has been told, and has Config.DrainTimeout
	expired, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	_ = ours.Detach(expired, ns)
	if rest, err := c.rest(); rest != "" || !isReset(err) {
		t.Errorf("got %q, %v; want a reset", rest, err)
	}
	released(t, ns)
	if ends := w.endings(ns.ID()); len(ends) != 1 || !errors.Is(ends[0].err, engine.ErrDrained) {
		t.Errorf("OnClose got %v", ends)
	}
}
