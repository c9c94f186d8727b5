package nsctx_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestRefsFindTheSameNamespace(t *testing.T) {
	home := mustOpen(t, nsctx.Home())
	for _, ref := range []nsctx.Ref{
		nsctx.ByPath("/proc/self/ns/net"), nsctx.ByPID(os.Getpid()), nsctx.ByFD(home.FD()),
	} {
		ns := mustOpen(t, ref)
		if ns.ID() != home.ID() || !ns.Same(home) {
			t.Errorf("%v is %v, home is %v", ref, ns, home)
		}
		if ns.FD() == home.FD() {
			t.Errorf("%v shares home's descriptor", ref)
		}
	}
}

func TestByNameLooksInRunNetns(t *testing.T) {
	ref := nsctx.ByName("a")
	if ref.Path() != "/run/netns/a" || ref.Name() != "a" || ref.String() != ref.Path() {
		t.Errorf("got %q, %q, %v", ref.Path(), ref.Name(), ref)
	}
	if ref != nsctx.ByName("a") || ref == nsctx.ByPath("/run/netns/a") {
		t.Error("references do not compare")
	}
	if _, err := nsctx.ByName("nsctx-no-such-name").Open(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesWhatCannotBe(t *testing.T) {
	for _, ref := range []nsctx.Ref{
		{},
		nsctx.ByName(""), nsctx.ByName("."), nsctx.ByName(".."), nsctx.ByName("a/b"), nsctx.ByName("a\x00"),
		nsctx.ByPath(""), nsctx.ByPath("/a\x00"), nsctx.ByPID(0), nsctx.ByPID(-1), nsctx.ByFD(-1),
	} {
		_, err := ref.Open()
		var typed *nsctx.Error
		if !errors.Is(err, nsctx.ErrInvalidRef) || !errors.As(err, &typed) || typed.Op != "open" {
			t.Errorf("%v: got %v", ref, err)
		}
	}
}

func TestOpenRefusesWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	touch(t, file)
	check(t, os.Chmod(file, 0o400))
	check(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{file, fifo, dir, "/dev/null", "/proc/self/ns/mnt", "/proc/self/ns/user"} {
		if _, err := nsctx.ByPath(path).Open(); !errors.Is(err, nsctx.ErrNotNamespace) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestByPIDOfProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	check(t, cmd.Start())
	ns := mustOpen(t, nsctx.ByPID(cmd.Process.Pid))
	if !ns.Same(mustOpen(t, nsctx.Home())) {
		t.Errorf("child is in %v", ns)
	}
	check(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if _, err := nsctx.ByPID(cmd.Process.Pid).Open(); !errors.Is(err, unix.ESRCH) {
		t.Errorf("dead process: got %v", err)
	}
}

func TestGradesAgree(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	for _, grade := range []nsctx.Grade{nsctx.GradePaper, nsctx.GradeCookie, nsctx.GradeKernelID} {
		var ids []nsctx.ID
		for _, path := range []string{a.Path, a.Path, b.Path} {
			ns, err := nsctx.ByPath(path).OpenGrade(grade)
			check(t, err)
			defer ns.Close()
			ids = append(ids, ns.ID())
			if ns.ID().Grade() != grade || ns.ID().IsZero() {
				t.Errorf("%v: got %v", grade, ns)
			}
			if ns.Same(a.NS) != (path == a.Path) {
				t.Errorf("%v: %v and %v the same: %t", grade, ns, a.NS, ns.Same(a.NS))
			}
		}
		if ids[0] != ids[1] || ids[0].String() != ids[1].String() {
			t.Errorf("%v: one namespace is %v and %v", grade, ids[0], ids[1])
		}
		if ids[0] == ids[2] || ids[0].String() == ids[2].String() {
			t.Errorf("%v: two namespaces are %v", grade, ids[0])
		}
	}
}

func TestRecreatedNamespaceIsAnother(t *testing.T) {
	for _, grade := range []nsctx.Grade{nsctx.GradeCookie, nsctx.GradeKernelID} {
		tenant := nstest.New(t).MustAddBare(t, "a")
		seen := map[nsctx.ID]bool{}
		for range 100 {
			ns, err := nsctx.ByPath(tenant.Path).OpenGrade(grade)
			check(t, err)
			check(t, ns.Close())
			if seen[ns.ID()] {
				t.Fatalf("%v comes again", ns.ID())
			}
			seen[ns.ID()] = true
			check(t, tenant.Recreate())
		}
	}
}

func TestClosedNamespace(t *testing.T) {
	ns := mustOpen(t, nsctx.Home())
	id := ns.ID()
	check(t, ns.Close())
	check(t, ns.Close())
	if ns.ID() != id || ns.FD() != -1 {
		t.Errorf("got %v, %d", ns.ID(), ns.FD())
	}
	if _, err := ns.Track(); !errors.Is(err, nsctx.ErrClosed) {
		t.Errorf("Track: got %v", err)
	}
}

func TestErrorsUnwrap(t *testing.T) {
	err := error(&nsctx.Error{Op: "enter", Namespace: "a", Err: os.NewSyscallError("setns", unix.EPERM)})
	if !errors.Is(err, fs.ErrPermission) || !errors.Is(err, unix.EPERM) {
		t.Errorf("%v hides its cause", err)
	}
	if got, want := err.Error(), "nsctx: enter a: setns: operation not permitted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
