package nstest_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/internal/memory"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// tryEnv names the function of tries that the test binary runs in place of its
// tests.
const tryEnv = "NSTEST_TRY"

var tries = map[string]func() int{
	"nothing":    func() int { return 0 },
	"failure":    func() int { return 3 },
	"descriptor": func() int { _, err := os.Open("/dev/null"); return code(err) },
	"buffer":     func() int { memory.Get(100); return 0 },
	"goroutine":  func() int { go func() { select {} }(); return 0 },
	"name": func() int {
		lab, err := nstest.NewLab("")
		if err == nil {
			_, err = lab.AddBare("a")
		}
		return code(err)
	},
	"thread": func() int {
		strayed := make(chan error)
		go func() {
			runtime.LockOSThread()
			runtime.LockOSThread()
			ns, err := netns.New()
			strayed <- errors.Join(err, ns.Close())
			runtime.UnlockOSThread()
			select {}
		}()
		return code(<-strayed)
	},
	"signal": func() int {
		if err := syscall.Kill(os.Getppid(), syscall.SIGTERM); err != nil {
			return 4
		}
		select {}
	},
}

func code(err error) int {
	if err != nil {
		return 4
	}
	return 0
}

func TestMain(m *testing.M) {
	name := os.Getenv(tryEnv)
	if name == "" {
		nstest.Main(m)
	}
	if strings.HasSuffix(name, " forbidden") {
		forbidUserNamespaces()
	}
	run, _ := strings.CutSuffix(name, " forbidden")
	run = strings.TrimPrefix(run, unprivileged)
	os.Exit(nstest.MainFunc(tries[run]))
}

const unprivileged = "unprivileged "

// try runs the test binary in a user namespace, where it has all capabilities, or
// none as an ordinary user.
func try(t *testing.T, name string) (code int, output string) {
	t.Helper()
	uid := 0
	if strings.HasPrefix(name, unprivileged) {
		uid = 1000
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), tryEnv+"="+name, "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// forbidUserNamespaces acts on the user namespace that try has made.
func forbidUserNamespaces() {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		panic(err)
	}
	dropPrivileges()
}

func dropPrivileges() {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		panic(err)
	}
}

func TestMainReportsLeaks(t *testing.T) {
	for name, want := range map[string]struct {
		code   int
		output string
	}{
		"nothing":    {0, ""},
		"failure":    {3, ""},
		"descriptor": {1, "/dev/null"},
		"goroutine":  {1, "goroutine"},
		"thread":     {1, "thread "},
		"buffer":     {1, "1 pooled buffers"},
	} {
		if name == "buffer" && !memory.Counts {
			want.code, want.output = 0, ""
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, output := try(t, name)
			if code != want.code || !strings.Contains(output, want.output) || want.output == "" && output != "" {
				t.Errorf("exit code %d, output:\n%s", code, output)
			}
		})
	}
}

func TestMainWithoutPrivileges(t *testing.T) {
	for name, want := range map[string]struct {
		code   int
		output string
	}{
		"unprivileged nothing": {0, ""},
		"unprivileged failure": {3, ""},
		"unprivileged name":    {1, "namespace mounted at"},
		"unprivileged signal":  {128 + int(syscall.SIGTERM), ""},
		"nothing forbidden":    {1, "max_user_namespaces=0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, output := try(t, name)
			if code != want.code || !strings.Contains(output, want.output) || want.output == "" && output != "" {
				t.Errorf("exit code %d, output:\n%s", code, output)
			}
		})
	}
}
