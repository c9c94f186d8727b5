package parallel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// The pair of devices, and the addresses at its ends.
const (
	serverDevice  = "hot"
	clientDevice  = "load"
	serverAddress = "10.77.0.1"
	clientAddress = "10.77.0.2"
	prefix        = "/24"
)

// errSteering says that packets are not spread over CPUs: all else works.
var errSteering = errors.New("receive packet steering can't be set, so one CPU receives all")

// in runs work on a thread in the namespace that a descriptor is open on, never the main
// one. The thread ends with it, and whatever it has mounted, too.
func in(fd int, work func() error) error {
	ns, err := nsctx.ByFD(fd).Open()
	if err != nil {
		return err
	}
	defer ns.Close()
	runErr := nsctx.RunLocked(func(t *nsctx.Thread) {
		runtime.LockOSThread() // once more than RunLocked unlocks, so that nobody uses the thread again
		if err = t.Enter(ns); err == nil {
			err = work()
		}
	})
	return errors.Join(runErr, err)
}

// connect puts a pair of devices with so many queues between two namespaces. The error
// may be an errSteering, and then there is a network all the same.
func connect(server, client, queues int) error {
	err := in(server, func() error {
		return errors.Join(makePair(client, queues), configure(serverDevice, serverAddress))
	})
	if err != nil {
		return err
	}
	if err := in(client, func() error { return configure(clientDevice, clientAddress) }); err != nil {
		return err
	}
	return in(server, func() error { return steer(serverDevice, runtime.NumCPU()) })
}

// makePair makes the devices, the server's where the calling thread is.
func makePair(client, queues int) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.NumTxQueues, attributes.NumRxQueues = serverDevice, queues, queues
	pair := netlink.NewVeth(attributes)
	pair.PeerName, pair.PeerNamespace = clientDevice, netlink.NsFd(client)
	pair.PeerNumTxQueues, pair.PeerNumRxQueues = uint32(queues), uint32(queues)
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("a veth pair with %d queues: %w", queues, err)
	}
	return nil
}

// configure gives a device its address and sets it up.
func configure(device, address string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	addr, err := netlink.ParseAddr(address + prefix)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("%s on %s: %w", addr, device, err)
	}
	return netlink.LinkSetUp(link)
}

// steer spreads what a device receives over all CPUs, flow by flow. Which devices are
// seen in sysfs is a matter of when it was mounted, so it is mounted anew, where only
// the calling thread sees it: unshare(2), mount_namespaces(7).
func steer(device string, cpus int) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("%w: %w", errSteering, os.NewSyscallError("unshare", err))
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: %w", errSteering, os.NewSyscallError("mount", err))
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("%w: %w", errSteering, os.NewSyscallError("mount", err))
	}
	queues, err := filepath.Glob("/sys/class/net/" + device + "/queues/rx-*/rps_cpus")
	if err != nil || len(queues) == 0 {
		return fmt.Errorf("%w: %s has no rps_cpus in sysfs", errSteering, device)
	}
	for _, queue := range queues {
		if err := os.WriteFile(queue, []byte(cpuMask(cpus)), 0); err != nil {
			return fmt.Errorf("%w: %w", errSteering, err)
		}
	}
	return nil
}

// cpuMask is the first so many CPUs, as the kernel reads a mask: words of 32 bits in
// hexadecimal, the highest first, with commas between.
func cpuMask(cpus int) string {
	var words []string
	for ; cpus > 0; cpus -= 32 {
		words = append([]string{fmt.Sprintf("%08x", uint64(1)<<min(cpus, 32)-1)}, words...)
	}
	return strings.Join(words, ",")
}
