package login

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const (
	// maxText is how much text a login, or a negotiation in the full feature phase, may take.
	maxText = 64 << 10
	// maxKey and maxValue are RFC 7143's limits, section 6.1.
	maxKey   = 63
	maxValue = 255
	// maxBinary is for a value of 1024 bytes, in hexadecimal: CHAP_C's (RFC 7143, section 12.1.3).
	maxBinary = 2 + 2*1024
)

var errTooMuchText = errors.New("more than 64 KiB of text")

// gather puts together text that comes in several PDUs, wherever they cut it.
type gather struct {
	text  []byte
	total int // over all that has been gathered
}

// add takes a PDU's data segment. last says that no other follows (C is 0); then the pairs
// are returned.
func (g *gather) add(data []byte, last bool) ([]pair, error) {
	if g.total += len(data); g.total > maxText {
		return nil, errTooMuchText
	}
	if !last {
		g.text = append(g.text, data...)
		return nil, nil
	}
	if len(g.text) > 0 {
		data = append(g.text, data...)
	}
	g.text = nil
	return parse(data)
}

// pair is key=value.
type pair struct{ key, value string }

// parse cuts text into pairs, each of which a NUL ends. More NULs than one are let pass:
// some initiators count the padding as text.
func parse(text []byte) ([]pair, error) {
	var pairs []pair
	for len(text) > 0 {
		item, rest, ended := bytes.Cut(text, []byte{0})
		if !ended {
			return nil, fmt.Errorf("no NUL after %.80q", text)
		}
		text = rest
		if len(item) == 0 {
			continue
		}
		p, err := parsePair(string(item))
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

func parsePair(item string) (pair, error) {
	key, value, ok := strings.Cut(item, "=")
	limit := maxValue
	if row := table[key]; row != nil && row.binary {
		limit = maxBinary
	}
	switch {
	case !ok:
		return pair{}, fmt.Errorf("no = in %.80q", item)
	case key == "" || len(key) > maxKey || strings.ContainsFunc(key, notOfKeys):
		return pair{}, fmt.Errorf("%.80q is not a key", key)
	case len(value) > limit:
		return pair{}, fmt.Errorf("%s has a value of %d bytes; %d are allowed", key, len(value), limit)
	}
	return pair{key, value}, nil
}

// notOfKeys is what RFC 7143's section 6.1 does not want in a key, except for the # of the
// X# keys that RFC 3720 had. That a key begins with a capital is not asked for: it
// is answered with NotUnderstood.
func notOfKeys(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune(".-+@_#", r)
}

// appendPair appends key=value and its NUL.
func appendPair(text []byte, key, value string) []byte {
	text = append(text, key...)
	text = append(text, '=')
	text = append(text, value...)
	return append(text, 0)
}
