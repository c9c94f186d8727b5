package tenant

import (
	"path"
	"unicode/utf8"
)

// overlap is a name that two globs of [path.Match] both match, if there is one. It runs the
// two side by side, as automata do; what it has tried in vain it does not try again.
func overlap(a, b string) (string, bool) {
	o := overlapping{a: tokens(a), b: tokens(b), failed: make(map[[2]int]bool)}
	return o.from(0, 0)
}

type overlapping struct {
	a, b   []string
	failed map[[2]int]bool
}

// from is a string that the rests of both globs match.
func (o *overlapping) from(i, j int) (string, bool) {
	if o.failed[[2]int{i, j}] {
		return "", false
	}
	o.failed[[2]int{i, j}] = true // unless it is found, which ends the search
	atEndA, atEndB := i == len(o.a), j == len(o.b)
	switch {
	case atEndA && atEndB:
		return "", true
	case !atEndA && o.a[i] == "*":
		return o.star(i+1, j, i, j+1, o.b[j:])
	case !atEndB && o.b[j] == "*":
		return o.star(i, j+1, i+1, j, o.a[i:])
	case atEndA || atEndB:
		return "", false
	}
	c, ok := common(o.a[i], o.b[j])
	if !ok {
		return "", false
	}
	rest, ok := o.from(i+1, j+1)
	return c + rest, ok
}

// star goes on behind a star, or has it take the first token of the other's rest.
func (o *overlapping) star(behindA, behindB, takenA, takenB int, rest []string) (string, bool) {
	if s, ok := o.from(behindA, behindB); ok || len(rest) == 0 {
		return s, ok
	}
	s, ok := o.from(takenA, takenB)
	if !ok || rest[0] == "*" {
		return s, ok
	}
	c, _ := common("?", rest[0])
	return c + s, true
}

// tokens cuts a glob into pieces that match one character each, and stars.
func tokens(glob string) []string {
	var all []string
	for len(glob) > 0 {
		n := tokenLen(glob)
		all = append(all, glob[:n])
		glob = glob[n:]
	}
	return all
}

func tokenLen(glob string) int {
	_, n := utf8.DecodeRuneInString(glob)
	switch glob[0] {
	case '\\':
		_, escaped := utf8.DecodeRuneInString(glob[1:])
		return 1 + escaped
	case '[':
		for n < len(glob) && glob[n] != ']' {
			n += classLen(glob[n:])
		}
		return n + 1
	}
	return n
}

// classLen is the length of a character inside brackets.
func classLen(class string) int {
	if class[0] == '\\' {
		_, n := utf8.DecodeRuneInString(class[1:])
		return 1 + n
	}
	_, n := utf8.DecodeRuneInString(class)
	return n
}

// common is a character that two tokens both match. Names of namespaces are taken to be of
// printable ASCII, or what a token spells out.
func common(a, b string) (string, bool) {
	for _, c := range append(spelled(a), spelled(b)...) {
		if matches(a, c) && matches(b, c) {
			return c, true
		}
	}
	for c := byte('a'); c != 'a'-1; c = nextPrintable(c) {
		if matches(a, string(c)) && matches(b, string(c)) {
			return string(c), true
		}
	}
	return "", false
}

func nextPrintable(c byte) byte {
	if c == '~' {
		return '!'
	}
	return c + 1
}

func matches(glob, s string) bool {
	ok, err := path.Match(glob, s)
	return ok && err == nil
}

// spelled are the characters that a token has in it, its own signs included, which do no harm.
func spelled(token string) []string {
	var all []string
	for _, r := range token {
		all = append(all, string(r))
	}
	return all
}
