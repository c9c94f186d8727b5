package serve

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// TestEnterComesBack enters the namespace that the test is in, which needs the same
// capability as any other.
func TestEnterComesBack(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	leave, err := Enter("/proc/self/ns/net")
	if errors.Is(err, unix.EPERM) {
		return // what there is to see without the capability has been seen
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := leave(); err != nil {
			t.Errorf("leave: %v", err)
		}
	}
	if after, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || after != before {
		t.Errorf("in %s, %v; want %s", after, err, before)
	}
}

func TestInReportsWhatIsNoNamespace(t *testing.T) {
	err := In("/dev/null", func() error { t.Error("the work was done"); return nil })
	if !errors.Is(err, nsctx.ErrNotNamespace) {
		t.Errorf("got %v", err)
	}
	if err := In("/does/not/exist", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
