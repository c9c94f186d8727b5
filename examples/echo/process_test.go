package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// process is the program as a process of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	exit           chan error
}

// spawn starts the program; the test's end kills what is left of it.
func spawn(t *testing.T, attr *syscall.SysProcAttr, args ...string) *process {
	t.Helper()
	stderr := newOutput()
	p := spawnTo(t, attr, stderr, args...)
	p.stderr = stderr
	t.Cleanup(func() { t.Logf("%q wrote\n%s%s", args, p.stderr, p.stdout) })
	return p
}

func spawnTo(t *testing.T, attr *syscall.SysProcAttr, stderr io.Writer, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(publicCopy(t), args...), stdout: newOutput(), exit: make(chan error, 1)}
	// The race detector would have the process sleep for a second at its end.
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = p.stdout, stderr, attr
	p.cmd.Dir = "/"
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.exit <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-ended
	})
	return p
}

// publicCopy is the test binary where any user can run it: go test's own
// directory is closed to others.
func publicCopy(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	dir := publicDir(t)
	file := filepath.Join(dir, "echo")
	if err := os.WriteFile(file, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "echo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait wants the process to exit by itself, with a code.
func (p *process) wait(t *testing.T, want int) {
	t.Helper()
	select {
	case err := <-p.exit:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if got := p.cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%v, want exit code %d", p.cmd.ProcessState, want)
		}
	case <-time.After(patience):
		t.Error("the process does not end")
	}
}

func TestSignalsDrain(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			lab := nstest.New(t)
			tenant := lab.MustAdd(t, "a")
			p := spawn(t, nil, "-netns-dir", lab.Dir())
			p.stderr.await(t, `^ready$`)
			conn := dial(t, tenant)
			echoes(t, conn)
			p.signal(t, s)
			if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("read %d, err %v; want the end", n, err)
			}
			_ = conn.Close()
			p.wait(t, 0)
		})
	}
}

// A peer that does not end its half keeps the drain waiting; who can't wait
// signals again.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	p := spawn(t, nil, "-netns-dir", lab.Dir())
	p.stderr.await(t, `^ready$`)
	conn := dial(t, tenant)
	echoes(t, conn)
	p.signal(t, syscall.SIGTERM)
	p.stderr.await(t, `"namespace draining" netns=a `)
	p.signal(t, syscall.SIGINT)
	p.wait(t, 1)
	p.stderr.await(t, `^echo: second signal`)
}

// nobody is a user without privileges: a real one if there are several here,
// else the only one, stripped in a user namespace of its own.
func nobody(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	const id = 65534
	mapped, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if fields := strings.Fields(string(mapped)); len(fields) == 3 && len(fields[2]) > 5 {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id, NoSetGroups: false}}
	}
	return inUserNamespace(id)
}

// inUserNamespace runs a process as a user of a new user namespace: as its root
// it has all capabilities there, and none over namespaces made outside.
func inUserNamespace(id int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getgid(), Size: 1}},
	}
}

// A program that can never serve anything says so, and what it lacks, instead
// of being ready for nothing.
func TestLackOfPrivilegeIsSaid(t *testing.T) {
	lab, err := nstest.NewLab(filepath.Join(publicDir(t), "netns"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	lab.MustAdd(t, "a")
	lacks := regexp.MustCompile(`(?m)^echo: no namespace can be entered: setns\(2\) needs CAP_SYS_ADMIN;.*-home`)
	for _, test := range []struct {
		name string
		attr *syscall.SysProcAttr
		dir  string
	}{
		{"nobody, a tenant", nobody(t), lab.Dir()},
		{"nobody, an empty directory", nobody(t), publicDir(t)},
		{"nobody, no directory", nobody(t), "/nonexistent/netns"},
		{"other root, a tenant", inUserNamespace(0), lab.Dir()},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := spawn(t, test.attr, "-netns-dir", test.dir)
			p.wait(t, 1)
			if got := p.stderr.String(); !lacks.MatchString(got) || strings.Contains(got, "\nready") {
				t.Errorf("nothing like %s in %s", lacks, got)
			}
		})
	}
}

// The own namespace takes no privilege.
func TestHomeWithoutPrivilege(t *testing.T) {
	p := spawn(t, nobody(t), "-home", "-port", "0", "-netns-dir", "/nonexistent")
	p.stderr.await(t, `^ready$`)
	p.signal(t, syscall.SIGTERM)
	p.wait(t, 0)
}

// nothingLeft wants the directory that a demonstration has said it uses gone,
// here and among the mounts. Others may be at work meanwhile, in theirs.
func nothingLeft(t *testing.T, progress string) {
	t.Helper()
	dir := regexp.MustCompile(`/\S+/nsreactor-demo-\d+`).FindString(progress)
	if dir == "" {
		t.Fatalf("no directory is named in:\n%s", progress)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left; err %v", dir, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Errorf("something is mounted in %s", dir)
	}
}

func TestDemo(t *testing.T) {
	t.Run("privileged", func(t *testing.T) { demonstrateOnce(t, spawn(t, nil, "-demo", "3")) })
	t.Run("nobody", func(t *testing.T) {
		demonstrateOnce(t, spawn(t, nobody(t), "-demo", "2", "-mode", "any", "-loops", "1"))
	})
}

func demonstrateOnce(t *testing.T, p *process) {
	t.Helper()
	p.wait(t, 0)
	verdict := regexp.MustCompile(`(?m)^PASS .*\n\z`)
	if !verdict.MatchString(p.stdout.String()) {
		t.Error("stdout does not end with a PASS")
	}
	nothingLeft(t, p.stderr.String())
}

// The demonstration in this process, with the admin endpoint meanwhile.
func TestDemoWithAdmin(t *testing.T) {
	p := launch(t, "-demo", "2", "-admin", "127.0.0.1:0", "-v")
	addr := p.stderr.await(t, `"admin endpoint" addr=(\S+)`)
	p.stderr.await(t, `talking`)
	transport := newTransport(t)
	if got := fetch(t, transport, "http://"+addr+"/namespaces"); !strings.Contains(got, `"tenant-2"`) {
		t.Errorf("/namespaces says %s", got)
	}
	p.stop()
	p.wait(t, 1)
	p.stdout.await(t, `^FAIL interrupted`)
	nothingLeft(t, p.stderr.String())
}

// Ctrl-C leaves nothing behind, whenever it comes.
func TestDemoInterrupted(t *testing.T) {
	for _, test := range []struct{ name, at string }{
		{"while namespaces are made", `making`},
		{"under load", `verified`},
		{"while one is replaced", `deleting`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := spawn(t, nil, "-demo", "20")
			p.stderr.await(t, test.at)
			p.signal(t, syscall.SIGINT)
			p.wait(t, 1)
			p.stdout.await(t, `^FAIL interrupted; everything is cleaned up$`)
			nothingLeft(t, p.stderr.String())
		})
	}
}

// leaver reads along for one line.
type leaver struct{ line string }

func (l *leaver) Write(p []byte) (int, error) {
	if l.line != "" {
		return 0, io.ErrClosedPipe
	}
	l.line = string(p)
	return len(p), nil
}

// A reader who goes, as in "echo -demo 1 2>&1 | head -n 1", is no reason to die
// with the namespaces still there.
func TestDemoSurvivesItsReader(t *testing.T) {
	var reader leaver
	p := spawnTo(t, nil, &reader, "-demo", "1")
	p.wait(t, 0)
	nothingLeft(t, reader.line)
}

// A terminal sends its Ctrl-C to the program and to its child in the user
// namespace alike, and the program passes its own on. That is still one Ctrl-C,
// which the child has to survive for long enough to clean up.
func TestDemoInterruptedFromTerminal(t *testing.T) {
	attr := nobody(t)
	attr.Setpgid = true
	p := spawn(t, attr, "-demo", "3")
	p.stderr.await(t, `verified`)
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 1)
	p.stdout.await(t, `^FAIL interrupted; everything is cleaned up$`)
	nothingLeft(t, p.stderr.String())
	if err := syscall.Kill(group, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child lives on: %v", err)
	}
}
