package programtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// asProgram has a test binary be the program that it tests, so that this is built with
// the race detector too.
const asProgram = "NSREACTOR_TEST_AS_PROGRAM"

// Main is for TestMain: nstest.Main, and what makes Spawn work.
func Main(m *testing.M, main func()) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	nstest.Main(m)
}

// Spawn runs the program as a process; Stop is a SIGTERM. The test's end kills what is
// left of it. If unprivileged, it is the root of a user namespace, which has every
// capability there and none over the network namespaces made outside.
func Spawn(t *testing.T, unprivileged bool, args ...string) *Program {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector would have the process sleep for a second at its end.
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	p := &Program{output: newOutput(), exit: make(chan int, 1)}
	p.Stop = func() { _ = cmd.Process.Signal(syscall.SIGTERM) } // it may have ended
	p.Kill = func() { _ = cmd.Process.Kill() }
	cmd.Stdout, cmd.Stderr = p, p
	if unprivileged {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what is wrong shows in the code
		p.exit <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		t.Logf("%q wrote\n%s", args, p.Output())
	})
	return p
}
