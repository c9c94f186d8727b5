package resolver

import (
	"fmt"
	"net/netip"
	"strings"
)

// The limits of RFC 1035, section 2.3.4. The whole name may have 255 bytes in a
// message, where it begins with a length and ends with the root's, which leaves
// 253 of text.
const (
	maxLabel = 63
	maxName  = 253
)

// checkHost returns an error, which is ErrInvalidHost, unless the name can be put
// into a question as it is. A dot at the end is fine.
func checkHost(host string) error {
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxName {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidHost, len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: empty label", ErrInvalidHost)
	case len(label) > maxLabel:
		return fmt.Errorf("%w: label of %d bytes, more than %d", ErrInvalidHost, len(label), maxLabel)
	}
	for i := range len(label) {
		// Anything else would need escapes in the library's text form, and is
		// in no name of a host.
		if !isHostByte(label[i]) {
			return fmt.Errorf("%w: byte %q", ErrInvalidHost, label[i])
		}
	}
	return nil
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// hostKey is the form in which names are compared.
func hostKey(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// loopback returns the addresses of localhost and of the names below it, which
// are never asked for (RFC 6761, section 6.3).
func loopback(host string) []netip.Addr {
	if key := hostKey(host); key != "localhost" && !strings.HasSuffix(key, ".localhost") {
		return nil
	}
	return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}
