package nsctx

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func FuzzNextEvent(f *testing.F) {
	f.Add(encodeEvent(1, unix.IN_CREATE, "a"))
	f.Add(append(encodeEvent(-1, unix.IN_Q_OVERFLOW, ""), encodeEvent(2, unix.IN_DELETE, "long-name-here")...))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, buf []byte) {
		tr := trail{wd: 1, used: map[int]struct{}{1: {}, 2: {}}}
		news := trailNews{seen: map[string]struct{}{}}
		_ = tr.digest(buf, &news)
		for len(buf) > 0 {
			ev, rest, err := nextEvent(buf)
			if err != nil {
				break
			}
			if len(rest) > len(buf)-inotifyHeader {
				t.Fatalf("no progress: %d of %d bytes left", len(rest), len(buf))
			}
			if bytes.ContainsRune([]byte(ev.name), 0) {
				t.Fatalf("name %q", ev.name)
			}
			again, tail, err := nextEvent(encodeEvent(ev.wd, ev.mask, ev.name))
			if err != nil || len(tail) != 0 || again != ev {
				t.Fatalf("%+v comes back as %+v, %v", ev, again, err)
			}
			buf = rest
		}
	})
}

func encodeEvent(wd int, mask uint32, name string) []byte {
	padded := []byte(name)
	if name != "" {
		padded = append(padded, make([]byte, inotifyHeader-len(name)%inotifyHeader)...)
	}
	buf := binary.NativeEndian.AppendUint32(nil, uint32(int32(wd)))
	buf = binary.NativeEndian.AppendUint32(buf, mask)
	buf = binary.NativeEndian.AppendUint32(buf, 0)
	buf = binary.NativeEndian.AppendUint32(buf, uint32(len(padded)))
	return append(buf, padded...)
}

func TestNextEventRefusesHalves(t *testing.T) {
	whole := encodeEvent(1, unix.IN_CREATE, "a")
	for n := range len(whole) {
		if _, _, err := nextEvent(whole[:n]); err == nil {
			t.Errorf("%d bytes pass for an event of %d", n, len(whole))
		}
	}
}

// TestRecycledPID stands a living process's file in for what /proc shows once the
// number of a dead one has been given again.
func TestRecycledPID(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	fd, err := openPIDPath(pidfd, "/proc/self/ns/net")
	if err != nil {
		t.Fatal("while it lives:", err)
	}
	_ = unix.Close(fd)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := openPIDPath(pidfd, "/proc/self/ns/net"); !errors.Is(err, unix.ESRCH) {
		t.Errorf("got %v", err)
	}
}

func TestLesserGradeOnlyIfRefused(t *testing.T) {
	home, err := homeNamespace()
	if err != nil {
		t.Fatal(err)
	}
	for cause, want := range map[unix.Errno]Grade{
		unix.ENOPROTOOPT: GradePaper, unix.EPERM: GradePaper, unix.EMFILE: GradeNone, unix.ENOMEM: GradeNone,
	} {
		id, err := identifyWith(home.fd, GradeCookie, func(int) (uint64, error) {
			return 0, os.NewSyscallError("test", cause)
		})
		if want == GradeNone && !errors.Is(err, cause) || want != GradeNone && (err != nil || id.Grade() != want) {
			t.Errorf("%v: got %v, %v", cause, id, err)
		}
	}
}

func TestMountWakeLooksAtFreshFilesOnly(t *testing.T) {
	n, err := newNames(t.TempDir(), WatchOptions{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	var appeared []string
	n.tell = func(c Change) {
		_ = c.NS.Close()
		appeared = append(appeared, c.Name)
	}
	for _, name := range []string{"fresh", "old"} {
		path := filepath.Join(n.dir, name)
		if err := os.WriteFile(path, nil, 0); err != nil {
			t.Fatal(err)
		}
		n.check(name)
		if err := errors.Join(os.Remove(path), os.Symlink("/proc/self/ns/net", path)); err != nil {
			t.Fatal(err)
		}
	}
	old := n.plain["old"]
	old.since = old.since.Add(-2 * freshTime)
	n.plain["old"] = old
	n.recheckFresh()
	if !slices.Equal(appeared, []string{"fresh"}) {
		t.Errorf("got %q", appeared)
	}
	n.scan()
	if !slices.Equal(appeared, []string{"fresh", "old"}) {
		t.Errorf("got %q", appeared)
	}
}

// newNamespace makes a namespace that only its descriptor keeps.
func newNamespace(t testing.TB) *Namespace {
	t.Helper()
	home, err := homeNamespace()
	if err != nil {
		t.Fatal(err)
	}
	var ns *Namespace
	err = home.Do(func() error {
		handle, err := netns.New()
		if err != nil {
			return err
		}
		defer handle.Close()
		ns, err = ByFD(int(handle)).Open()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func TestTrackByNSID(t *testing.T) {
	for range 20 {
		ns := newNamespace(t)
		r, err := ns.track(MethodNSID)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		second, err := ns.Track() // by handle, and hears of the end too
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if r.Method() != MethodNSID || r.nsid < 0 || second.nsid != r.nsid {
			t.Fatalf("method %s, number %d and %d", r.Method(), r.nsid, second.nsid)
		}
		if gone, err := r.Gone(); gone || err != nil {
			t.Errorf("gone: %t, %v", gone, err)
		}
		if err := ns.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := errors.Join(r.Wait(ctx), second.Wait(ctx)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTrackByNSIDHearsOnlyItsOwn(t *testing.T) {
	ns, other := newNamespace(t), newNamespace(t)
	r, err := ns.track(MethodNSID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	second, err := other.track(MethodNSID)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_ = other.Close()
	if err := second.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	// The kernel sends to both sockets in the order of their binding.
	if gone, err := r.Gone(); gone || err != nil {
		t.Errorf("gone: %t, %v", gone, err)
	}
}

func TestTrackByNothing(t *testing.T) {
	r, err := newNamespace(t).track()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Gone(); r.Method() != MethodNone || !errors.Is(err, ErrUntracked) {
		t.Errorf("method %s, %v", r.Method(), err)
	}
	if err := r.Wait(context.Background()); !errors.Is(err, ErrUntracked) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkEnterHit(b *testing.B) {
	onThread(b, func(t *Thread, one, _ *Namespace) {
		_ = t.Enter(one)
		for b.Loop() {
			_ = t.Enter(one)
		}
	})
}

// BenchmarkEnterMiss and BenchmarkBareSetns take one switch an operation.
func BenchmarkEnterMiss(b *testing.B) {
	onThread(b, func(t *Thread, one, other *Namespace) {
		for b.Loop() {
			_ = t.Enter(one)
			one, other = other, one
		}
	})
}

func BenchmarkBareSetns(b *testing.B) {
	onThread(b, func(t *Thread, one, other *Namespace) {
		for b.Loop() {
			_ = setns(one.fd)
			one, other = other, one
		}
		t.Forget()
	})
}

// BenchmarkEnterAgainstSetns takes both by turns, so that what else the machine does
// falls on both alike.
func BenchmarkEnterAgainstSetns(b *testing.B) {
	const turn = 256
	onThread(b, func(t *Thread, one, other *Namespace) {
		var enter, bare time.Duration
		for b.Loop() {
			start := time.Now()
			for range turn {
				_ = t.Enter(one)
				one, other = other, one
			}
			middle := time.Now()
			for range turn {
				_ = setns(one.fd)
				one, other = other, one
			}
			enter, bare = enter+middle.Sub(start), bare+time.Since(middle)
			t.Forget()
		}
		b.ReportMetric(float64(enter)/float64(bare), "ratio")
		b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N)/turn, "ns/setns")
	})
}

func BenchmarkDo(b *testing.B) {
	onThread(b, func(_ *Thread, one, _ *Namespace) {
		for b.Loop() {
			_ = one.Do(func() error { return nil })
		}
	})
}

func onThread(b *testing.B, f func(t *Thread, one, other *Namespace)) {
	b.Helper()
	one, other := newNamespace(b), newNamespace(b)
	if err := RunLocked(func(t *Thread) { f(t, one, other) }); err != nil {
		b.Fatal(err)
	}
}
