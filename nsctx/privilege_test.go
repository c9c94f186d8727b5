package nsctx_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx"
)

// asksPrivilege has the test program say what it may, before it gets itself more.
const asksPrivilege = "NSCTX_TEST_ASKS_PRIVILEGE"

func TestCheckPrivilege(t *testing.T) {
	if err := nsctx.CheckPrivilege(); err != nil {
		t.Errorf("with the capability: %v", err)
	}
	// The root of a new user namespace has every capability, and none over the
	// network namespace that it was born in.
	for _, id := range []int{0, 65534} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), asksPrivilege+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "no permission") {
			t.Errorf("user %d of a new user namespace: %s, %v", id, out, err)
		}
	}
}

func answerPrivilege() {
	var typed *nsctx.Error
	if err := nsctx.CheckPrivilege(); errors.Is(err, fs.ErrPermission) && errors.As(err, &typed) {
		fmt.Print("no permission")
	}
	os.Exit(0)
}
