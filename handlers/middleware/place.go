package middleware

import (
	"net/netip"

	"github.com/nsreactor/nsreactor/engine"
)

// place is what something is counted for: a namespace or, with a peer, one peer in it.
// A table that is keyed by it must let go of a namespace with its last connection: it
// would keep the memory of one that is long released.
type place struct {
	ns   *engine.Namespace
	peer netip.Addr
}

// defaultBits is how much of an IPv6 address tells peers apart: a host has a /64 to itself,
// RFC 7934, and so could be a quintillion peers.
const defaultBits = 64

// peerOf is the client's place. Of a client without an address it reports false.
func peerOf(c *engine.Conn, bits int) (place, bool) {
	addr := ClientAddr(c).Addr().Unmap().WithZone("")
	if addr.Is6() {
		if bits <= 0 || bits > addr.BitLen() {
			bits = defaultBits
		}
		prefix, err := addr.Prefix(bits)
		if err != nil {
			return place{}, false // it has no such prefix: there is none that is longer
		}
		addr = prefix.Addr()
	}
	return place{c.Namespace(), addr}, addr.IsValid()
}
