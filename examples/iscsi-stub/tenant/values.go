package tenant

import (
	"math"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// units are binary and decimal; bytes need none.
var units = map[string]int64{
	"": 1, "B": 1,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

const sizeWanted = "a number of bytes, such as 4096, 512MiB or 10GiB"

// parseSize reads a number of bytes, more than 0.
func parseSize(s string) (int64, bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.ParseInt(s[:end], 10, 64)
	unit, ok := units[strings.TrimSpace(s[end:])]
	if err != nil || !ok || n <= 0 || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// parseBandwidth reads a size; "/s" may follow.
func parseBandwidth(s string) (int64, bool) { return parseSize(strings.TrimSuffix(s, "/s")) }

// parseInt reads a number within bounds.
func parseInt(least, most int64) func(string) (int64, bool) {
	return func(s string) (int64, bool) {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil && n >= least && n <= most
	}
}

var truths = map[string]bool{"true": true, "True": true, "yes": true, "Yes": true, "false": false, "False": false, "no": false, "No": false}

func parseBool(s string) (v, ok bool) {
	v, ok = truths[s]
	return v, ok
}

func parseDuration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

func parseText(s string) (string, bool) { return s, s != "" }

// A tenant's and a volume's name is a label and a file's name.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

const nameWanted = "1 to 63 letters a-z, digits, '.', '_' or '-', of which the first is a letter or a digit"

func parseName(s string) (string, bool) { return s, name.MatchString(s) }

// iSCSI names: RFC 7143, section 4.2.7, in the lower case that stringprep makes of them.
var (
	iqn = regexp.MustCompile(`^iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.-]*(:[a-z0-9.:-]+)?$`)
	eui = regexp.MustCompile(`^eui\.[0-9A-Fa-f]{16}$`)
	naa = regexp.MustCompile(`^naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})$`)
)

const maxISCSIName = 223 // bytes

const iqnWanted = "an iSCSI name, such as iqn.2026-01.com.example:disk, in lower case"

func parseIQN(s string) (string, bool) {
	return s, len(s) <= maxISCSIName && (iqn.MatchString(s) || eui.MatchString(s) || naa.MatchString(s))
}

const globWanted = "a glob, such as blue or blue-*"

func parseGlob(s string) (string, bool) {
	_, err := path.Match(s, "")
	return s, s != "" && err == nil && utf8.ValidString(s) && !strings.Contains(s, "/")
}

// parseAddress reads an IP address without a zone, and writes it in its usual form.
func parseAddress(s string) (string, bool) {
	a, err := netip.ParseAddr(s)
	return a.String(), err == nil && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast()
}

const userWanted = "a CHAP name of 1 to 255 bytes"

func parseUser(s string) (string, bool) { return s, s != "" && len(s) <= 255 }

const secretWanted = "a secret of 12 to 255 bytes, as RFC 7143, section 9.2.1, wants it"

func parseSecret(s string) (Secret, bool) {
	return Secret{s}, len(s) >= MinSecret && len(s) <= 255
}
