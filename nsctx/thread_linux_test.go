package nsctx_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// here asks the kernel where the calling thread is.
func here(t testing.TB) nsctx.ID {
	t.Helper()
	ns, err := nsctx.ByPath("/proc/thread-self/ns/net").Open()
	check(t, err)
	check(t, ns.Close())
	return ns.ID()
}

// setCapability raises or drops CAP_SYS_ADMIN of the calling thread.
func setCapability(t testing.TB, on bool) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	check(t, unix.Capget(&header, &data[0]))
	data[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
	if on {
		data[0].Effective |= 1 << unix.CAP_SYS_ADMIN
	}
	check(t, unix.Capset(&header, &data[0]))
}

func TestMainThreadIsRefused(t *testing.T) {
	if !errors.Is(onMain, nsctx.ErrMainThread) {
		t.Errorf("got %v", onMain)
	}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			err := nsctx.RunLocked(func(th *nsctx.Thread) {
				if th.TID() == os.Getpid() {
					t.Error("on the main thread")
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestEnterSwitchesOnlyOnChange(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a").NS, lab.MustAddBare(t, "b").NS
	again := mustOpen(t, nsctx.ByPath(lab.Path("a")))
	check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
		home := here(t)
		if th.Current().ID() != home {
			t.Errorf("starts in %v, home is %v", th.Current(), home)
		}
		check(t, th.Home())
		for _, ns := range []*nsctx.Namespace{a, a, again, a, b, a} {
			check(t, th.Enter(ns))
			if here(t) != ns.ID() || th.Current() != ns {
				t.Errorf("in %v, remembers %v, want %v", here(t), th.Current(), ns)
			}
			check(t, th.Verify())
		}
		check(t, th.Home())
		if here(t) != home {
			t.Error("Home does not lead home")
		}
		s := th.Stats()
		if s.Switches != 4 || s.Avoided != 4 || s.Errors != 0 || s.Strays != 0 || s.SwitchTime <= 0 {
			t.Errorf("got %+v", s)
		}
		th.Forget()
		if th.Current() != nil {
			t.Errorf("remembers %v", th.Current())
		}
		check(t, th.Verify())
		check(t, th.Home())
		if got := th.Stats().Switches; got != 5 {
			t.Errorf("%d switches after Forget", got)
		}
	}))
}

func TestEnterFailsClosed(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a").NS, lab.MustAddBare(t, "b").NS
	closed := mustOpen(t, nsctx.ByFD(b.FD()))
	check(t, closed.Close())
	check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
		check(t, th.Enter(a))
		fails := func(ns *nsctx.Namespace, want error) {
			t.Helper()
			err := th.Enter(ns)
			var typed *nsctx.Error
			if !errors.Is(err, want) || !errors.As(err, &typed) {
				t.Errorf("got %v, want %v", err, want)
			}
			if here(t) != a.ID() || th.Current() != a {
				t.Errorf("in %v, remembers %v", here(t), th.Current())
			}
		}
		fails(closed, nsctx.ErrClosed)
		fails(nil, nsctx.ErrInvalidRef)
		setCapability(t, false)
		fails(b, fs.ErrPermission)
		fails(b, unix.EPERM)
		setCapability(t, true)
		if s := th.Stats(); s.Errors != 4 || s.Switches != 1 {
			t.Errorf("got %+v", s)
		}
		check(t, th.Enter(b))
	}))
}

func TestVerifyCatchesAStray(t *testing.T) {
	lab := nstest.New(t)
	for _, grade := range []nsctx.Grade{nsctx.GradePaper, nsctx.GradeCookie, nsctx.GradeKernelID} {
		name := grade.String()
		lab.MustAddBare(t, name)
		ns, err := nsctx.ByPath(lab.Path(name)).OpenGrade(grade)
		check(t, err)
		defer ns.Close()
		check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
			check(t, th.Enter(ns))
			check(t, th.Verify())
			stray, err := netns.New()
			check(t, err)
			defer stray.Close()
			if err := th.Verify(); !errors.Is(err, nsctx.ErrStrayed) {
				t.Errorf("%v: got %v", grade, err)
			}
			check(t, th.Enter(ns)) // really
			check(t, th.Verify())
			if got := th.Stats(); got.Strays != 1 || got.Switches != 2 {
				t.Errorf("%v: got %+v", grade, got)
			}
		}))
	}
}

func TestVerifyCatchesAnotherThread(t *testing.T) {
	check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
		done := make(chan error)
		go func() { done <- th.Verify() }()
		if err := <-done; !errors.Is(err, nsctx.ErrStrayed) {
			t.Errorf("got %v", err)
		}
	}))
}

func TestReleasedThreadIsUseless(t *testing.T) {
	ns := nstest.New(t).MustAddBare(t, "a").NS
	done := make(chan struct{})
	go func() {
		defer close(done)
		th, err := nsctx.LockThread()
		if errors.Is(err, nsctx.ErrMainThread) {
			return // where this goroutine happens to be
		}
		if err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(th.Enter(ns), th.Release()); err != nil {
			t.Error(err)
		}
		for _, err := range []error{th.Enter(ns), th.Home(), th.Verify(), th.Release()} {
			if !errors.Is(err, nsctx.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
	}()
	<-done
}

func TestThreadThatCannotGoHomeDies(t *testing.T) {
	ns := nstest.New(t).MustAddBare(t, "a").NS
	var tid int
	err := nsctx.RunLocked(func(th *nsctx.Thread) {
		tid = th.TID()
		check(t, th.Enter(ns))
		setCapability(t, false)
	})
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v", err)
	}
	for ctx := patient(t); ctx.Err() == nil; runtime.Gosched() {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
			return
		}
	}
	t.Error("thread lives on")
}

func TestDoRunsInTheNamespace(t *testing.T) {
	ns := nstest.New(t).MustAddBare(t, "a").NS
	want := errors.New("mine")
	if err := ns.Do(func() error {
		if here(t) != ns.ID() {
			t.Errorf("in %v", here(t))
		}
		return want
	}); err != want { //nolint:errorlint // it must be returned as it is
		t.Errorf("got %v", err)
	}
}

func TestDoDoesNotRunElsewhere(t *testing.T) {
	ns := nstest.New(t).MustAddBare(t, "a").NS
	check(t, ns.Close())
	err := ns.Do(func() error {
		t.Error("has run")
		return nil
	})
	if !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestDoPassesPanicAndGoexit(t *testing.T) {
	ns := nstest.New(t).MustAddBare(t, "a").NS
	cause := errors.New("cause")
	func() {
		defer func() {
			p, ok := recover().(*nsctx.PanicError)
			if !ok || !errors.Is(p, cause) || len(p.Stack) == 0 {
				t.Errorf("got %v", p)
			}
		}()
		_ = ns.Do(func() error { panic(cause) })
	}()
	done := make(chan bool)
	go func() {
		returned := false
		defer func() { done <- returned }()
		_ = ns.Do(func() error { runtime.Goexit(); return nil })
		returned = true
	}()
	if <-done {
		t.Error("Goexit does not end the caller")
	}
	poolIsClean(t)
}

// poolIsClean has many goroutines look at where they run, enough of them at once
// to need every idle thread.
func poolIsClean(t *testing.T) {
	t.Helper()
	home := mustOpen(t, nsctx.Home()).ID()
	const many = 200
	var ready, all sync.WaitGroup
	ready.Add(many)
	for range many {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait() // holding a thread each
			if id := here(t); id != home {
				t.Errorf("thread of the pool is in %v", id)
			}
		})
	}
	all.Wait()
}

func TestDoNeverPoisonsThePool(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a").NS, lab.MustAddBare(t, "b").NS
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			err := a.Do(func() error {
				switch i % 4 {
				case 0:
					return errors.New("failed")
				case 1:
					return netns.Set(netns.NsHandle(b.FD())) // and not back
				case 2:
					setCapability(t, false)
				}
				return nil
			})
			if (err != nil) != (i%4 == 0) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	poolIsClean(t)
}

func TestCloseWhileEntering(t *testing.T) {
	lab := nstest.New(t)
	lab.MustAddBare(t, "a")
	for range 200 {
		ns, err := nsctx.ByPath(lab.Path("a")).Open()
		check(t, err)
		var all sync.WaitGroup
		all.Go(func() {
			if err := ns.Close(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			err := ns.Do(func() error {
				if here(t) != ns.ID() {
					t.Errorf("in %v", here(t))
				}
				return nil
			})
			if err != nil && !errors.Is(err, nsctx.ErrClosed) {
				t.Error(err)
			}
		})
		all.Wait()
	}
}
