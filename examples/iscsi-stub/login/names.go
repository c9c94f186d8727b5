package login

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is how many bytes an iSCSI name has at most (RFC 7143, section 4.2.7.2).
const MaxName = 223

// ErrName is what all errors of NormalizeName are.
var ErrName = errors.New("not an iSCSI name")

var (
	iqnForm = regexp.MustCompile(`^iqn\.\d{4}-(0[1-9]|1[0-2])\.[^:]+(:.*)?$`)
	euiForm = regexp.MustCompile(`^eui\.[0-9a-f]{16}$`)
	naaForm = regexp.MustCompile(`^naa\.([0-9a-f]{16}|[0-9a-f]{32})$`)
)

// NormalizeName checks an iSCSI name (iqn, eui or naa; RFC 7143, section 4.2.7) and returns it in
// the form in which names are compared, lower case. It does not fold equivalent
// spellings of characters outside ASCII: RFC 3722 has the sender do that. The underscore is let pass,
// though RFC 3722 forbids it: initiators make their names of host names.
func NormalizeName(name string) (string, error) {
	if len(name) > MaxName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%.80q: %w: over %d bytes, or no UTF-8", name, ErrName, MaxName)
	}
	if i := strings.IndexFunc(name, notOfNames); i >= 0 {
		return "", fmt.Errorf("%.80q: %w: it has %q", name, ErrName, name[i])
	}
	name = strings.Map(unicode.ToLower, name)
	if len(name) > MaxName || !iqnForm.MatchString(name) && !euiForm.MatchString(name) && !naaForm.MatchString(name) {
		return "", fmt.Errorf("%.80q: %w: neither iqn.YYYY-MM.DOMAIN[:NAME] nor eui.HEX nor naa.HEX", name, ErrName)
	}
	return name, nil
}

func notOfNames(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-.:_", r)
}
