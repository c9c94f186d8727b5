package resolver

import (
	"bytes"
	"net/netip"
	"slices"
)

// hostsTable has the addresses of names by hostKey, IPv6 first, else in the
// file's order.
type hostsTable map[string][]netip.Addr

// parseHosts reads hosts(5). A line that makes no sense is passed over, as
// everybody does.
func parseHosts(data []byte) (hostsTable, error) {
	table := hostsTable{}
	for line := range bytes.Lines(data) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(string(fields[0]))
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			if checkHost(string(name)) == nil {
				table.add(hostKey(string(name)), addr.Unmap())
			}
		}
	}
	for _, addrs := range table {
		slices.SortStableFunc(addrs, byFamily)
	}
	return table, nil
}

func (t hostsTable) add(key string, addr netip.Addr) {
	if !slices.Contains(t[key], addr) {
		t[key] = append(t[key], addr)
	}
}

// byFamily puts IPv6 before IPv4.
func byFamily(a, b netip.Addr) int { return b.BitLen() - a.BitLen() }
