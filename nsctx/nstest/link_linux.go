package nstest

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// linkName is what both ends of the veth pair are called.
const linkName = "eth0"

// join makes the peer and a veth pair between it and the tenant.
func (t *Tenant) join() error {
	peer, err := t.lab.spawn(func(fd int) (nsctx.Ref, error) { return nsctx.ByFD(fd), nil })
	if err != nil {
		return err
	}
	t.Peer, t.Addr4, t.Addr6 = peer, serverAddr4.Addr(), serverAddr6.Addr()
	err = inNetlink(t.NS, func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = linkName
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: linkName, PeerNamespace: netlink.NsFd(peer.FD())}
		if err := h.LinkAdd(pair); err != nil {
			return fmt.Errorf("add veth pair: %w", err)
		}
		return setUp(h, linkName, serverAddr4, serverAddr6)
	})
	if err != nil {
		return err
	}
	err = inNetlink(peer, func(h *netlink.Handle) error {
		if err := setUp(h, linkName, peerAddr4, peerAddr6); err != nil {
			return err
		}
		return awaitCarrier(h)
	})
	if err != nil {
		return err
	}
	return inNetlink(t.NS, awaitCarrier)
}

// awaitCarrier waits until the kernel has noticed that both ends are up. It drops
// what is sent before, and the first connection would then take a second.
func awaitCarrier(h *netlink.Handle) error {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		link, err := h.LinkByName(linkName)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
	}
	return fmt.Errorf("%s stays down", linkName)
}

// inNetlink runs f in the namespace. netlink.NewHandleAt would move the thread by
// itself, and ignore it if the way back failed.
func inNetlink(ns *nsctx.Namespace, f func(*netlink.Handle) error) error {
	return ns.Do(func() error { return withHandle(f) })
}

// withHandle needs the calling thread in the namespace.
func withHandle(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	return f(h)
}

// loopbackUp needs the calling thread in the namespace.
func loopbackUp() error {
	return withHandle(func(h *netlink.Handle) error { return setUp(h, "lo") })
}

func setUp(h *netlink.Handle, name string, addrs ...netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	for _, addr := range addrs {
		if err := h.AddrAdd(link, netlinkAddr(addr)); err != nil {
			return fmt.Errorf("add %v to %s: %w", addr, name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// netlinkAddr skips duplicate address detection, which would keep an IPv6 address
// unusable for a second or two.
func netlinkAddr(p netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}
