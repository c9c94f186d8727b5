package engine_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: Attach serves all ports or none. Where one is taken, the error
// says which, in which namespace and why, and nothing is left: the other port
// is free, and the namespace can go.
func TestPortTakenAttach(t *testing.T) {
	for loops := 1; loops <= 2; loops++ {
		lab := nstest.New(t)
		tenant := lab.MustAddBare(t, "a")
		taken, err := tenant.Listen(hanging(t), "tcp", lifePort+1)
		must(t, err)
		eng := tameEngine(t, engine.Config{Loops: loops})
		must(t, eng.Handle("tcp", lifePort, new(witness)))
		must(t, eng.Handle("tcp", lifePort+1, new(witness)))
		_, err = eng.Attach(nsctx.ByPath(tenant.Path))
		var typed *engine.Error
		if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &typed) {
			t.Fatalf("Attach: %v", err)
		}
		if want := netip.MustParseAddrPort("[::]:8"); typed.Op != "listen" || typed.Namespace != "a" || typed.Addr != want {
			t.Errorf("the error is about %s of %s at %v", typed.Op, typed.Namespace, typed.Addr)
		}
		if s := eng.Stats(); len(s.Namespaces) != 0 || s.Loops[0].Listeners != 0 {
			t.Errorf("left over: %+v", s.Namespaces)
		}
		other, err := tenant.Listen(hanging(t), "tcp", lifePort)
		if err != nil {
			t.Errorf("the port that was free is not any more: %v", err)
		} else {
			_ = other.Close()
		}
		_ = taken.Close()
		ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
		must(t, err)
		c := call(t, tenant, "tcp")
		c.expectWho(t, ns.ID())
		_ = c.Close() // it is in there, too
		must(t, eng.Detach(hanging(t), ns))

		taken, err = tenant.Listen(hanging(t), "tcp", lifePort)
		must(t, err)
		_, err = eng.Attach(nsctx.ByPath(tenant.Path))
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("Attach: %v", err)
		}
		gone := track(t, tenant)
		_ = taken.Close()
		must(t, tenant.Delete())
		gone()
	}
}

// track waits, when called, for the kernel to say that a tenant is gone.
func track(t testing.TB, tenant *nstest.Tenant) (wait func()) {
	t.Helper()
	release, err := tenant.NS.Track()
	must(t, err)
	t.Cleanup(func() { _ = release.Close() })
	return func() {
		t.Helper()
		if err := release.Wait(hanging(t)); err != nil {
			t.Errorf("%s stays: %v", tenant.Name, err)
		}
	}
}

// The promise: a watch serves what can be had. A taken port harms nobody else,
// is counted, logged once and shown, and is served at last when it is free.
func TestPortTakenWatch(t *testing.T) {
	lab := nstest.New(t)
	bad, good := lab.MustAddBare(t, "bad"), lab.MustAddBare(t, "good")
	taken, err := bad.Listen(hanging(t), "tcp", lifePort)
	must(t, err)
	eng, log := wildEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Handle("tcp", lifePort+1, w))
	must(t, eng.Watch(lab.Dir()))
	good1 := call(t, good, "tcp")
	good1.expectWho(t, good.NS.ID())
	other, err := bad.Dial(hanging(t), "tcp", lifePort+1)
	must(t, err)
	newCaller(other).expectWho(t, bad.NS.ID())
	_ = other.Close()

	ns := attached(t, eng, bad.NS.ID())
	listener := func() engine.ListenerStats { return ns.Snapshot().Listeners[0] }
	if l := listener(); !errors.Is(l.Err, syscall.EADDRINUSE) || l.Sockets != 0 || l.Network != "tcp" {
		t.Errorf("the listener: %+v", l)
	}
	eventually(t, "it is tried again", func() bool { return ns.Snapshot().Errors[engine.ErrorListen] > 1 })
	if n := log.count("port can't be served"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	_ = taken.Close()
	eventually(t, "it is served at last", func() bool { return listener().Err == nil })
	if l := listener(); l.Port != lifePort || l.Sockets == 0 {
		t.Errorf("the listener: %+v", l)
	}
	callWhenServed(t, bad, "tcp").expectWho(t, bad.NS.ID())
	good1.expectWho(t, good.NS.ID())
	if n := attached(t, eng, good.NS.ID()).Snapshot().Errors[engine.ErrorListen]; n != 0 {
		t.Errorf("%d errors where nothing was wrong", n)
	}
	w.check(t)
}

// The promise: a namespace whose port is still being tried can go.
func TestPortTakenUntilDeleted(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	taken, err := tenant.Listen(hanging(t), "tcp", lifePort)
	must(t, err)
	eng := tameEngine(t, engine.Config{Loops: 2})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	must(t, tenant.Delete())
	_ = taken.Close()
	released(t, ns)
	confirmed(t, eng, 1)
}

// The promise: what is no namespace is passed over by a watch and refused by
// Attach; it is attached when it has become one.
func TestNoNamespace(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	plain := lab.Path("plain")
	must(t, os.WriteFile(plain, nil, 0))
	defer func() { must(t, os.Remove(plain)) }()
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	if all := eng.Namespaces(); len(all) != 1 {
		t.Errorf("attached: %v", all)
	}
	for _, test := range []struct {
		ref  nsctx.Ref
		want error
	}{
		{nsctx.ByPath(plain), nsctx.ErrNotNamespace},
		{nsctx.ByPath("/proc/self/ns/mnt"), nsctx.ErrNotNamespace},
		{nsctx.ByPath(lab.Path("nothing")), fs.ErrNotExist},
		{nsctx.ByPID(1 << 30), syscall.ESRCH},
		{nsctx.ByFD(1 << 30), syscall.EBADF},
		{nsctx.ByName("a/b"), nsctx.ErrInvalidRef},
		{nsctx.Ref{}, nsctx.ErrInvalidRef},
	} {
		var typed *engine.Error
		ns, err := eng.Attach(test.ref)
		if ns != nil || !errors.Is(err, test.want) || !errors.As(err, &typed) || typed.Op != "attach" {
			t.Errorf("%v: %v, %v; want %v", test.ref, ns, err, test.want)
		}
	}
	ns := attached(t, eng, tenant.NS.ID())
	must(t, unix.Mount(tenant.Path, plain, "", unix.MS_BIND, ""))
	eventually(t, "the file has become a name", func() bool { return slices.Contains(ns.Names(), "plain") })
	must(t, unix.Unmount(plain, unix.MNT_DETACH))
	eventually(t, "and is none any more", func() bool { return !slices.Contains(ns.Names(), "plain") })
	call(t, tenant, "tcp").expectWho(t, tenant.NS.ID())
}

// labAt makes a lab in a directory of the test's choice; end may be called
// before the test ends.
func labAt(t *testing.T, dir string) (lab *nstest.Lab, end func()) {
	t.Helper()
	lab, err := nstest.NewLab(dir)
	must(t, err)
	ended := false
	end = func() {
		if !ended {
			ended = true
			must(t, lab.Close())
		}
	}
	t.Cleanup(end)
	return lab, end
}

// The promise: a watched directory need not exist, and may go and come back.
func TestWatchedDirectoryComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	eng := tameEngine(t, engine.Config{Loops: 1})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	must(t, eng.Watch(dir))
	for round := range uint64(3) {
		lab, end := labAt(t, dir)
		tenant := lab.MustAddBare(t, "a")
		c := callWhenServed(t, tenant, "tcp")
		c.expectWho(t, tenant.NS.ID())
		ns := attached(t, eng, tenant.NS.ID())
		_ = c.Close()
		end()
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory is still there: %v", err)
		}
		released(t, ns)
		confirmed(t, eng, round+1)
	}
	w.check(t)
}

// The promise: Match narrows a watch, another Watch of the directory widens
// it, also to what is there already; what was attached otherwise is noticed
// when it goes, whatever the patterns.
func TestWatchMatch(t *testing.T) {
	lab := nstest.New(t)
	for _, name := range []string{"a1", "b1", "c1"} {
		lab.MustAddBare(t, name)
	}
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	names := func(want ...string) func() bool {
		return func() bool {
			var got []string
			for _, ns := range eng.Namespaces() {
				got = append(got, ns.Names()...)
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		}
	}
	must(t, eng.Watch(lab.Dir(), engine.Match("a*"), engine.Match("x?")))
	if !names("a1")() {
		t.Errorf("attached: %v", eng.Namespaces())
	}
	lab.MustAddBare(t, "b2")
	lab.MustAddBare(t, "x2")
	eventually(t, "a1 and x2 are attached", names("a1", "x2"))
	must(t, eng.Watch(lab.Dir(), engine.Match("b*")))
	if !names("a1", "b1", "b2", "x2")() {
		t.Errorf("attached after the watch was widened: %v", eng.Namespaces())
	}
	lab.MustAddBare(t, "b3")
	eventually(t, "b3 is attached", names("a1", "b1", "b2", "b3", "x2"))

	for _, bad := range []string{"[", "a[]"} {
		var typed *engine.Error
		err := eng.Watch(lab.Dir(), engine.Match("c*"), engine.Match(bad))
		if !errors.Is(err, path.ErrBadPattern) || !errors.As(err, &typed) || typed.Op != "watch" {
			t.Errorf("Match(%q): %v", bad, err)
		}
	}
	if !names("a1", "b1", "b2", "b3", "x2")() {
		t.Errorf("attached after a bad pattern: %v", eng.Namespaces())
	}

	c1, err := eng.Attach(nsctx.ByPath(lab.Path("c1")))
	must(t, err)
	must(t, unix.Unmount(lab.Path("c1"), unix.MNT_DETACH))
	eventually(t, "c1 drains", func() bool { return c1.State() == engine.StateDraining })
}

// The promise: the order of Handle, Attach and Watch does not matter; a later
// handler is served in the namespaces that are there, and a wrong one harms
// nobody.
func TestHandleAfterAttach(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	eng := tameEngine(t, engine.Config{Loops: 2})
	w := new(witness)
	_, err := eng.Attach(nsctx.ByPath(a.Path))
	must(t, err)
	must(t, eng.Handle("tcp", lifePort, w))
	call(t, a, "tcp").expectWho(t, a.NS.ID())
	must(t, eng.Watch(lab.Dir()))
	call(t, b, "tcp").expectWho(t, b.NS.ID())

	taken, err := b.Listen(hanging(t), "tcp", lifePort+1)
	must(t, err)
	must(t, eng.Handle("tcp", lifePort+1, w))
	other, err := a.Dial(hanging(t), "tcp", lifePort+1)
	must(t, err)
	newCaller(other).expectWho(t, a.NS.ID())
	_ = other.Close()
	if l := attached(t, eng, b.NS.ID()).Snapshot().Listeners[1]; !errors.Is(l.Err, syscall.EADDRINUSE) {
		t.Errorf("the listener of the taken port: %+v", l)
	}
	_ = taken.Close()
	if err := eng.Handle("tcp", lifePort, w); !errors.Is(err, engine.ErrBadHandle) {
		t.Errorf("a second handler for a port: %v", err)
	}
	w.check(t)
}
