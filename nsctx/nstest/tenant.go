package nstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/nsreactor/nsreactor/nsctx"
)

// The addresses of every tenant that has a peer, and of its peer.
var (
	serverAddr4 = netip.MustParsePrefix("10.77.0.1/24")
	serverAddr6 = netip.MustParsePrefix("fd77::1/64")
	peerAddr4   = netip.MustParsePrefix("10.77.0.2/24")
	peerAddr6   = netip.MustParsePrefix("fd77::2/64")
)

// Tenant is one namespace of a lab. Its fields are for reading, and Delete and
// Recreate must not run at the same time as anything else on it.
type Tenant struct {
	Name string // in the lab's directory
	Path string // where the namespace is mounted

	NS   *nsctx.Namespace // the tenant's namespace, pinned until Delete
	Peer *nsctx.Namespace // its clients' namespace, pinned until Delete; nil without a peer

	Addr4, Addr6 netip.Addr // where Dial finds the tenant

	lab    *Lab
	peered bool
}

// Dial connects to a port of the tenant from its peer, or from within the tenant
// if it has none. The network is "tcp", "tcp4", "udp", "udp4", or "tcp6" or "udp6"
// for the IPv6 address.
func (t *Tenant) Dial(ctx context.Context, network string, port int) (net.Conn, error) {
	if t.Peer == nil {
		return t.DialLocal(ctx, network, port)
	}
	addr := t.Addr4
	if isIPv6(network) {
		addr = t.Addr6
	}
	return DialIn(ctx, t.Peer, network, netip.AddrPortFrom(addr, uint16(port)))
}

// DialLocal connects to a port of the tenant from within, over its loopback.
func (t *Tenant) DialLocal(ctx context.Context, network string, port int) (net.Conn, error) {
	addr := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if isIPv6(network) {
		addr = netip.IPv6Loopback()
	}
	return DialIn(ctx, t.NS, network, netip.AddrPortFrom(addr, uint16(port)))
}

// Listen listens on a port of the tenant, on all its addresses; port 0 stands for
// a free one.
func (t *Tenant) Listen(ctx context.Context, network string, port int) (net.Listener, error) {
	var listener net.Listener
	err := t.NS.Do(func() (err error) {
		var config net.ListenConfig
		listener, err = config.Listen(ctx, network, ":"+strconv.Itoa(port))
		return err
	})
	return listener, err
}

// DialIn connects to addr with a socket made in the namespace. The address is a
// number, so that the dialer makes the socket on the thread that it is called on
// and asks no resolver.
func DialIn(ctx context.Context, ns *nsctx.Namespace, network string, addr netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := ns.Do(func() (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, addr.String())
		return err
	})
	return conn, err
}

// Delete unmounts and removes the tenant's name, as `ip netns del` does, and gives
// up the lab's hold on the tenant and its peer: what then keeps them alive is not
// the lab's. A second Delete does nothing.
func (t *Tenant) Delete() error {
	l := t.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tenants[t.Name] != t {
		return nil
	}
	delete(l.tenants, t.Name)
	if err := t.destroy(); err != nil {
		return fmt.Errorf("nstest: delete %s: %w", t.Name, err)
	}
	return nil
}

// Recreate deletes the tenant and makes another namespace under the same name, to
// which NS and Peer then refer.
func (t *Tenant) Recreate() error {
	if err := t.Delete(); err != nil {
		return err
	}
	l := t.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := t.create(); err != nil {
		return fmt.Errorf("nstest: recreate %s: %w", t.Name, err)
	}
	l.tenants[t.Name] = t
	return nil
}

func isIPv6(network string) bool {
	return len(network) > 0 && network[len(network)-1] == '6'
}
