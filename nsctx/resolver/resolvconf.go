package resolver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// The limits of resolv.conf(5).
const (
	maxServers  = 3
	maxAttempts = 5
	maxTimeout  = 30 // seconds
)

// resolvConf is what a resolv.conf says. It does not change.
type resolvConf struct {
	servers  []netip.Addr
	timeout  time.Duration // of one server, once
	attempts int
	rotate   bool
	lib      *dns.ClientConfig // the search list and ndots
}

// parseResolvConf reads resolv.conf(5); no data stands for no file.
func parseResolvConf(data []byte) (*resolvConf, error) {
	lib, err := dns.ClientConfigFromReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(lib.Servers)
	if err != nil {
		return nil, err
	}
	return &resolvConf{
		servers:  servers,
		timeout:  time.Duration(min(lib.Timeout, maxTimeout)) * time.Second,
		attempts: min(lib.Attempts, maxAttempts),
		rotate:   hasOption(data, "rotate"),
		lib:      lib,
	}, nil
}

// parseServers passes over what is no address, but not if there is nothing else:
// asking 127.0.0.1 instead would not be what the file says.
func parseServers(texts []string) ([]netip.Addr, error) {
	if len(texts) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	var servers []netip.Addr
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && len(servers) < maxServers {
			servers = append(servers, addr.Unmap())
		}
	}
	if servers == nil {
		return nil, fmt.Errorf("no nameserver is an address: %s", strings.Join(texts, ", "))
	}
	return servers, nil
}

// hasOption looks for an option that the library does not know.
func hasOption(data []byte, option string) bool {
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == "options" && slices.Contains(fields[1:], option) {
			return true
		}
	}
	return false
}

// names lists what host can stand for, in the order in which to ask, each with a
// dot at its end: by the search list and ndots, but for what would be too long or
// no name at all.
func (c *resolvConf) names(host string) []string {
	return slices.DeleteFunc(c.lib.NameList(host), func(s string) bool { return checkHost(s) != nil })
}
