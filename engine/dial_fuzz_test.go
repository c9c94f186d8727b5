package engine

import (
	"net/netip"
	"testing"
)

// Whatever Dial is asked for, it either says what is wrong or knows an address of
// the network's family, a path that the kernel takes, or a name to look up.
func FuzzDialAddress(f *testing.F) {
	for _, s := range []string{
		"192.0.2.1:80", "[::1]:443", "[fe80::1%eth0]:80", "[::ffff:192.0.2.1]:1", "db.internal:5432", ":80", "a:", "a:0",
		"a:65536", "[::1]", "@abstract", "/run/s", "", "\x00", "a..b:1", "[fe80::1%]:1",
	} {
		for _, network := range []string{"tcp", "tcp4", "tcp6", "unix", "udp"} {
			f.Add(network, s)
		}
	}
	f.Fuzz(func(t *testing.T, network, address string) {
		s := &service{network: network, handler: BaseHandler{}}
		peer, err := s.parse(address)
		if err != nil {
			return
		}
		switch host := s.dial.host; {
		case network == "unix":
			if host != address || len(host) == 0 || len(host) > 108 {
				t.Errorf("path %q of %q", host, address)
			}
		case s.port < 1 || s.port > 65535:
			t.Errorf("%q has port %d", address, s.port)
		case host != "":
			if _, err := netip.ParseAddr(host); err == nil || len(host) > 255 {
				t.Errorf("%q is to be looked up", host)
			}
		case !peer.IsValid() || int(peer.Port()) != s.port || peer.Addr().Is4In6():
			t.Errorf("%q is %v", address, peer)
		case network == "tcp4" && !peer.Addr().Is4(), network == "tcp6" && !peer.Addr().Is6(), network == "udp":
			t.Errorf("%q of %q is %v", address, network, peer)
		}
	})
}
