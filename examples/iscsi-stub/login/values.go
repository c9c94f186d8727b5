package login

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// The constants of text negotiation (RFC 7143, section 6.2). The last three are answers
// and never offers.
const (
	yes, no       = "Yes", "No"
	none          = "None"
	notUnderstood = "NotUnderstood"
	irrelevant    = "Irrelevant"
	reject        = "Reject"
)

func isReserved(value string) bool {
	return value == notUnderstood || value == irrelevant || value == reject
}

// parseNumber reads a numerical-value: decimal without leading zeros, or hexadecimal
// (RFC 7143, section 6.1).
func parseNumber(s string) (uint64, bool) {
	base := 10
	if digits, ok := cutPrefixes(s, "0x", "0X"); ok {
		s, base = digits, 16
	} else if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}

// parseBinaryNumber reads a regular-binary-value: a number, which may be in base64 too.
func parseBinaryNumber(s string) (uint64, bool) {
	if _, ok := cutPrefixes(s, "0b", "0B"); !ok {
		return parseNumber(s)
	}
	b, ok := parseBinary(s, 8)
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, ok
}

// parseBinary reads a large-binary-value of 1 to most bytes: hexadecimal or base64.
func parseBinary(s string, most int) ([]byte, bool) {
	b, err := []byte(nil), error(nil)
	if digits, ok := cutPrefixes(s, "0x", "0X"); ok {
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		b, err = hex.DecodeString(digits)
	} else if digits, ok := cutPrefixes(s, "0b", "0B"); ok {
		b, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(digits, "="))
	}
	return b, err == nil && len(b) > 0 && len(b) <= most
}

// formatBinary writes a large-binary-value in hexadecimal, which every initiator reads.
func formatBinary(b []byte) string { return "0x" + hex.EncodeToString(b) }

func cutPrefixes(s string, prefixes ...string) (string, bool) {
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest, true
		}
	}
	return s, false
}
