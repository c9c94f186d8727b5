package parallel

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// TestConnectMakesANetworkWithQueues makes the devices, looks at them, and sends a byte
// through them. What connect has mounted must be seen nowhere else.
func TestConnectMakesANetworkWithQueues(t *testing.T) {
	const queues = 3
	spaces, err := lab.NewNamespaces(2)
	if err != nil {
		t.Fatal(err)
	}
	defer spaces.Close()
	mounts := sysMounts(t)
	err = connect(spaces.FD(0), spaces.FD(1), queues)
	steered := err == nil
	if err != nil && !errors.Is(err, errSteering) {
		t.Fatal(err)
	}
	if got := sysMounts(t); got != mounts {
		t.Errorf("/sys was mounted %d times, now %d", mounts, got)
	}
	var listener net.Listener
	if err := in(spaces.FD(0), func() (err error) {
		checkQueues(t, serverDevice, queues, steered)
		listener, err = net.Listen("tcp4", serverAddress+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := in(spaces.FD(1), func() error {
		checkQueues(t, clientDevice, queues, false)
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err == nil {
			defer conn.Close()
			if host, _, _ := net.SplitHostPort(conn.LocalAddr().String()); host != clientAddress {
				t.Errorf("the client's address is %s", host)
			}
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// sysMounts is how many mounts there are at /sys, in this process.
func sysMounts(t *testing.T) int {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(mounts), " /sys ")
}

// checkQueues looks at a device of the calling thread's namespace.
func checkQueues(t *testing.T, device string, queues int, steered bool) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		t.Error(err)
		return
	}
	if a := link.Attrs(); a.NumRxQueues != queues || a.NumTxQueues != queues {
		t.Errorf("%s: got %d and %d queues, want %d", device, a.NumRxQueues, a.NumTxQueues, queues)
	}
	if !steered {
		return
	}
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, "")); err != nil {
		t.Error(err)
		return
	}
	masks, _ := filepath.Glob("/sys/class/net/" + device + "/queues/rx-*/rps_cpus")
	if len(masks) != queues {
		t.Errorf("%s: got %q, want %d", device, masks, queues)
	}
	for _, name := range masks {
		if mask, err := os.ReadFile(name); err != nil || strings.Trim(string(mask), "0,\n") == "" {
			t.Errorf("%s: got %q, %v", name, mask, err)
		}
	}
}

func TestCPUMaskHasWordsOf32(t *testing.T) {
	for cpus, want := range map[int]string{
		1: "00000001", 2: "00000003", 32: "ffffffff", 33: "00000001,ffffffff", 64: "ffffffff,ffffffff", 70: "0000003f,ffffffff,ffffffff",
	} {
		if got := cpuMask(cpus); got != want {
			t.Errorf("%d: got %q, want %q", cpus, got, want)
		}
	}
}
