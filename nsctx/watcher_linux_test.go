package nsctx_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// watch is a Watcher under test, whose changes are read one by one.
type watch struct {
	t       *testing.T
	changes chan nsctx.Change
}

func startWatch(t *testing.T, dir string, o nsctx.WatchOptions) *watch {
	t.Helper()
	w, err := nsctx.NewWatcher(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return runWatch(t, w, func(nsctx.Change) {})
}

// runWatch calls first for each change on the watcher's goroutine.
func runWatch(t *testing.T, w *nsctx.Watcher, first func(nsctx.Change)) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &watch{t: t, changes: make(chan nsctx.Change, 1<<14)}
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, func(c nsctx.Change) {
			if c.NS != nil {
				if c.NS.ID() != c.ID || c.NS.Name() != c.Name {
					t.Errorf("%v %s comes with %v", c.ID, c.Name, c.NS)
				}
				_ = c.NS.Close()
			}
			first(c)
			s.changes <- c
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		for len(s.changes) > 0 {
			t.Errorf("left over: %s", describe(<-s.changes))
		}
	})
	return s
}

func (s *watch) next() nsctx.Change {
	s.t.Helper()
	select {
	case c := <-s.changes:
		return c
	case <-patient(s.t).Done():
		s.t.Fatal("no change comes")
		return nsctx.Change{}
	}
}

func (s *watch) expect(kind nsctx.ChangeKind, name string, id nsctx.ID) {
	s.t.Helper()
	want := nsctx.Change{Kind: kind, Name: name, ID: id}
	if got := s.next(); describe(got) != describe(want) {
		s.t.Fatalf("got %s, want %s", describe(got), describe(want))
	}
}

func (s *watch) synced() {
	s.t.Helper()
	s.expect(nsctx.Synced, "", nsctx.ID{})
}

func describe(c nsctx.Change) string { return fmt.Sprintf("%v %q %v", c.Kind, c.Name, c.ID) }

func TestWatcherReportsWhatIsThereThenSynced(t *testing.T) {
	lab := nstest.New(t)
	a := lab.MustAddBare(t, "a")
	touch(t, lab.Path("stale"))
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.expect(nsctx.Appeared, "a", a.NS.ID())
	w.synced()
	remove(t, lab.Path("stale"))
}

func TestWatcherFollowsAddAndDelete(t *testing.T) {
	lab := nstest.New(t)
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.synced()
	for range 200 {
		tenant := lab.MustAddBare(t, "a")
		id := tenant.NS.ID()
		w.expect(nsctx.Appeared, "a", id)
		check(t, tenant.Delete())
		w.expect(nsctx.Vanished, "a", id)
	}
}

func TestWatcherTellsARecreatedName(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	nw, err := nsctx.NewWatcher(lab.Dir(), nsctx.WatchOptions{})
	check(t, err)
	w := runWatch(t, nw, func(c nsctx.Change) {
		if c.Kind == nsctx.Synced {
			held <- struct{}{}
			<-hold // so that both halves happen between two wakes
		}
	})
	<-held
	old := tenant.NS.ID()
	check(t, tenant.Recreate())
	close(hold)
	w.expect(nsctx.Appeared, "a", old)
	w.synced()
	w.expect(nsctx.Vanished, "a", old)
	w.expect(nsctx.Appeared, "a", tenant.NS.ID())
}

func TestWatcherSeesUnmountWithoutUnlink(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.expect(nsctx.Appeared, "a", tenant.NS.ID())
	w.synced()
	check(t, unix.Unmount(tenant.Path, unix.MNT_DETACH))
	w.expect(nsctx.Vanished, "a", tenant.NS.ID())
}

func TestWatcherSeesAnotherNamespaceMountedOver(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{Match: func(n string) bool { return n == "a" }})
	w.expect(nsctx.Appeared, "a", a.NS.ID())
	w.synced()
	check(t, unix.Mount(b.Path, a.Path, "", unix.MS_BIND, ""))
	w.expect(nsctx.Vanished, "a", a.NS.ID())
	w.expect(nsctx.Appeared, "a", b.NS.ID())
	check(t, unix.Unmount(a.Path, unix.MNT_DETACH))
	w.expect(nsctx.Vanished, "a", b.NS.ID())
	w.expect(nsctx.Appeared, "a", a.NS.ID())
}

func TestWatcherReportsAliasesWithOneID(t *testing.T) {
	lab := nstest.New(t)
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.synced()
	tenant := lab.MustAddBare(t, "a")
	id := tenant.NS.ID()
	w.expect(nsctx.Appeared, "a", id)
	check(t, lab.Alias("a", "b"))
	w.expect(nsctx.Appeared, "b", id)
	check(t, tenant.Delete())
	w.expect(nsctx.Vanished, "a", id)
	check(t, lab.Unalias("b"))
	w.expect(nsctx.Vanished, "b", id)
}

func TestWatcherFollowsRenamedLink(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	dir := t.TempDir()
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.synced()
	check(t, os.Symlink(tenant.Path, filepath.Join(dir, "x")))
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
	check(t, os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "y")))
	w.expect(nsctx.Vanished, "x", tenant.NS.ID())
	w.expect(nsctx.Appeared, "y", tenant.NS.ID())
}

func TestWatcherLooksThroughLinksAgain(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	dir := t.TempDir()
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.synced()
	check(t, nsctx.RunLocked(func(th *nsctx.Thread) {
		check(t, th.Enter(a.NS))
		check(t, os.Symlink(fmt.Sprintf("/proc/self/task/%d/ns/net", th.TID()), filepath.Join(dir, "x")))
		w.expect(nsctx.Appeared, "x", a.NS.ID())
		check(t, os.Lchown(filepath.Join(dir, "x"), 0, 0)) // an event, but no change
		check(t, os.Symlink(b.Path, filepath.Join(dir, "y")))
		w.expect(nsctx.Appeared, "y", b.NS.ID())
		check(t, th.Enter(b.NS))
		check(t, lab.Alias("a", "wake")) // a mount, somewhere
		w.expect(nsctx.Vanished, "x", a.NS.ID())
		w.expect(nsctx.Appeared, "x", b.NS.ID())
		check(t, os.Remove(filepath.Join(dir, "x")))
		w.expect(nsctx.Vanished, "x", b.NS.ID())
	}))
	check(t, os.Remove(filepath.Join(dir, "y")))
	w.expect(nsctx.Vanished, "y", b.NS.ID())
}

func TestWatcherSurvivesDirectory(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "deep", "netns")
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.synced()
	for range 5 {
		lab, err := nstest.NewLab(dir)
		check(t, err)
		tenant := lab.MustAddBare(t, "a")
		id := tenant.NS.ID()
		w.expect(nsctx.Appeared, "a", id)
		check(t, lab.Close())
		w.expect(nsctx.Vanished, "a", id)
		check(t, os.RemoveAll(filepath.Join(top, "deep")))
	}
}

func TestWatcherSurvivesDirectoryOfLinks(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	top := t.TempDir()
	dir := filepath.Join(top, "deep", "netns")
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.synced()
	for range 50 {
		check(t, os.MkdirAll(dir, 0o755))
		check(t, os.Symlink(tenant.Path, filepath.Join(dir, "x")))
		w.expect(nsctx.Appeared, "x", tenant.NS.ID())
		check(t, os.Symlink(tenant.Path, filepath.Join(dir, "y")))
		w.expect(nsctx.Appeared, "y", tenant.NS.ID())
		check(t, os.Remove(filepath.Join(dir, "y")))
		w.expect(nsctx.Vanished, "y", tenant.NS.ID())
		check(t, os.RemoveAll(filepath.Join(top, "deep")))
		w.expect(nsctx.Vanished, "x", tenant.NS.ID())
	}
}

func TestWatcherFollowsPathNotInode(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	top := t.TempDir()
	dir := filepath.Join(top, "one", "netns")
	link := filepath.Join(dir, "x")
	check(t, os.MkdirAll(dir, 0o755))
	check(t, os.Symlink(tenant.Path, link))
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
	w.synced()
	check(t, os.Rename(filepath.Join(top, "one"), filepath.Join(top, "two")))
	w.expect(nsctx.Vanished, "x", tenant.NS.ID())
	check(t, os.Rename(filepath.Join(top, "two"), filepath.Join(top, "one")))
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
}

func TestWatcherSeesDirectoryMountedOver(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	dir := t.TempDir()
	check(t, os.Symlink(tenant.Path, filepath.Join(dir, "x")))
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
	w.synced()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	w.expect(nsctx.Vanished, "x", tenant.NS.ID())
	check(t, os.Symlink(tenant.Path, filepath.Join(dir, "y")))
	w.expect(nsctx.Appeared, "y", tenant.NS.ID())
	check(t, unix.Unmount(dir, unix.MNT_DETACH))
	got := map[string]nsctx.ChangeKind{}
	for range 2 {
		c := w.next()
		got[c.Name] = c.Kind
	}
	if got["y"] != nsctx.Vanished || got["x"] != nsctx.Appeared {
		t.Errorf("got %v", got)
	}
}

func TestWatcherSurvivesOverflow(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	dir := t.TempDir()
	var log records
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	nw, err := nsctx.NewWatcher(dir, nsctx.WatchOptions{Logger: slog.New(&log)})
	check(t, err)
	w := runWatch(t, nw, func(c nsctx.Change) {
		if c.Kind == nsctx.Synced {
			held <- struct{}{}
			<-hold
		}
	})
	<-held
	churn(t, filepath.Join(dir, "noise"))
	check(t, os.Symlink(tenant.Path, filepath.Join(dir, "x"))) // not a mount, and its event is lost
	close(hold)
	w.synced()
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
	if log.warnings.Load() == 0 {
		t.Error("nothing has overflowed")
	}
}

// churn makes more events than an inotify queue holds.
func churn(t *testing.T, path string) {
	t.Helper()
	const defaultLimit = 16384
	limit := defaultLimit
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		_, _ = fmt.Sscan(string(data), &limit)
	}
	for range limit/2 + 1 {
		touch(t, path)
		remove(t, path)
	}
}

func TestWatcherIgnoresStaleFiles(t *testing.T) {
	lab := nstest.New(t)
	touch(t, lab.Path("stale"))
	longAgo := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(lab.Path("stale"), longAgo, longAgo))
	var log records
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{Logger: slog.New(&log)})
	w.synced()
	for range 5 {
		tenant := lab.MustAddBare(t, "a")
		w.expect(nsctx.Appeared, "a", tenant.NS.ID())
		id := tenant.NS.ID()
		check(t, tenant.Delete())
		w.expect(nsctx.Vanished, "a", id)
	}
	for range 3 {
		tenant := lab.MustAddBare(t, "b")
		id := tenant.NS.ID()
		w.expect(nsctx.Appeared, "b", id)
		check(t, unix.Unmount(tenant.Path, unix.MNT_DETACH)) // only a full look finds out
		w.expect(nsctx.Vanished, "b", id)
		check(t, tenant.Delete())
	}
	if n := log.infos.Load(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	remove(t, lab.Path("stale"))
}

func TestWatcherRejectsOnceAndTriesAgain(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	dir := t.TempDir()
	link := filepath.Join(dir, "x")
	check(t, os.Symlink(strings.Repeat("n", 300), link)) // ENAMETOOLONG, for root too
	w := startWatch(t, dir, nsctx.WatchOptions{})
	c := w.next()
	if c.Kind != nsctx.Rejected || c.Name != "x" || !errors.Is(c.Err, unix.ENAMETOOLONG) {
		t.Fatalf("got %s, %v", describe(c), c.Err)
	}
	w.synced()
	check(t, os.Lchown(link, 0, 0)) // an event, but no reason to say it again
	other := filepath.Join(dir, "y")
	check(t, os.Symlink(tenant.Path, other))
	w.expect(nsctx.Appeared, "y", tenant.NS.ID())
	remove(t, link)
	check(t, os.Symlink(tenant.Path, link))
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
}

func TestWatcherTriesAgainWhenStarved(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	dir := t.TempDir()
	w := startWatch(t, dir, nsctx.WatchOptions{})
	w.synced()
	var limit unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	defer func() { check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
	// Not less than the three that poll(2) is given.
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
	check(t, os.Symlink(tenant.Path, filepath.Join(dir, "x")))
	c := w.next()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if c.Kind != nsctx.Rejected || c.Name != "x" || !errors.Is(c.Err, unix.EMFILE) {
		t.Errorf("got %s, %v", describe(c), c.Err)
	}
	w.expect(nsctx.Appeared, "x", tenant.NS.ID())
}

func TestWatcherMatchesNames(t *testing.T) {
	lab := nstest.New(t)
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{Match: func(name string) bool { return name == "b" }})
	w.synced()
	lab.MustAddBare(t, "a")
	b := lab.MustAddBare(t, "b")
	w.expect(nsctx.Appeared, "b", b.NS.ID())
}

func TestWatcherGrades(t *testing.T) {
	for _, grade := range []nsctx.Grade{nsctx.GradePaper, nsctx.GradeCookie, nsctx.GradeKernelID} {
		t.Run(grade.String(), func(t *testing.T) {
			lab := nstest.New(t)
			w := startWatch(t, lab.Dir(), nsctx.WatchOptions{Grade: grade})
			w.synced()
			tenant := lab.MustAddBare(t, "a")
			if c := w.next(); c.Kind != nsctx.Appeared || c.ID.Grade() != grade {
				t.Errorf("got %s", describe(c))
			}
			check(t, tenant.Delete())
			if c := w.next(); c.Kind != nsctx.Vanished || c.ID.Grade() != grade {
				t.Errorf("got %s", describe(c))
			}
		})
	}
}

func TestWatcherPinsNothing(t *testing.T) {
	lab := nstest.New(t)
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.synced()
	tenant := lab.MustAddBare(t, "a")
	id := tenant.NS.ID()
	w.expect(nsctx.Appeared, "a", id)
	release, err := tenant.NS.Track()
	check(t, err)
	defer release.Close()
	check(t, tenant.Delete())
	w.expect(nsctx.Vanished, "a", id)
	check(t, release.Wait(patient(t)))
}

func TestWatcherManyNames(t *testing.T) {
	const many = 300
	lab := nstest.New(t)
	w := startWatch(t, lab.Dir(), nsctx.WatchOptions{})
	w.synced()
	want := map[string]nsctx.ID{}
	for i := range many {
		name := fmt.Sprint("t", i)
		want[name] = lab.MustAddBare(t, name).NS.ID()
	}
	for range many {
		c := w.next()
		if c.Kind != nsctx.Appeared || want[c.Name] != c.ID {
			t.Fatalf("got %s, want %v", describe(c), want[c.Name])
		}
		delete(want, c.Name)
	}
}

func TestWatcherRunsOnce(t *testing.T) {
	w, err := nsctx.NewWatcher(t.TempDir(), nsctx.WatchOptions{})
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	check(t, w.Run(ctx, func(nsctx.Change) {}))
	if err := w.Run(ctx, func(nsctx.Change) {}); !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("got %v", err)
	}
	check(t, w.Close())
}

func TestWatcherUnused(t *testing.T) {
	w, err := nsctx.NewWatcher(t.TempDir(), nsctx.WatchOptions{})
	check(t, err)
	check(t, w.Close())
	check(t, w.Close())
	if err := w.Run(context.Background(), nil); !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := nsctx.NewWatcher("", nsctx.WatchOptions{}); !errors.Is(err, nsctx.ErrInvalidRef) {
		t.Errorf("got %v", err)
	}
}

// records counts what is logged.
type records struct{ infos, warnings atomic.Int64 }

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	switch rec.Level {
	case slog.LevelInfo:
		r.infos.Add(1)
	case slog.LevelWarn:
		r.warnings.Add(1)
	}
	return nil
}

func touch(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0)
	check(t, err)
	check(t, f.Close())
}

func remove(t testing.TB, path string) {
	t.Helper()
	check(t, os.Remove(path))
}
