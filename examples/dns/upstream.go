package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

const dnsPort = 53

// findUpstream is the server to ask: the one given, or the first of a resolv.conf(5).
func findUpstream(given, resolvConf string) (netip.AddrPort, error) {
	if given != "" {
		addr, err := parseUpstream(given)
		if err != nil {
			err = fmt.Errorf("%w: -upstream: %w", errUsage, err)
		}
		return addr, err
	}
	addr, err := firstOf(resolvConf)
	if err != nil {
		err = fmt.Errorf("no server to ask, say one with -upstream: %s: %w", resolvConf, err)
	}
	return addr, err
}

func firstOf(resolvConf string) (netip.AddrPort, error) {
	conf, err := dns.ClientConfigFromFile(resolvConf)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case len(conf.Servers) == 0:
		return netip.AddrPort{}, errors.New("no nameserver in it")
	}
	return parseUpstream(conf.Servers[0])
}

// parseUpstream reads an address with a port or, for port 53, without.
func parseUpstream(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), dnsPort), nil
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil || addr.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is neither an address nor one with a port", s)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}
