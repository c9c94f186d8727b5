package tenant

import (
	"path"
	"testing"
)

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "ab", false},
		{"*", "*", true},
		{"*", "anything", true},
		{"a*", "*b", true},
		{"a*", "b*", false},
		{"a*c", "ab*", true},
		{"*a*", "b*b", true},
		{"a?c", "abc", true},
		{"a?c", "ab", false},
		{"??", "*", true},
		{"?", "??", false},
		{"tenant-[0-4]*", "tenant-[5-9]*", false},
		{"tenant-[0-5]*", "tenant-[5-9]*", true},
		{"[^a]", "a", false},
		{"[^a]", "[^b]", true},
		{"[^a-z0-9]", "[!-~]", true},
		{"[а-я]", "[б-в]", true},
		{"[а-в]", "[г-я]", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`[\]]x`, "?x", true},
		{"a*b*c*d*e*f*g*h*i*j*k*l*", "*l*k*j*i*h*g*f*e*d*c*b*a", true},
		{"aaaaaaaaaaaaaaa*a*a*a*a*a*a*a*a*a*a*a*ab", "*a*a*a*a*a*a*a*a*a*a*a*a*ac", false},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			name, ok := overlap(pair[0], pair[1])
			if ok != test.want {
				t.Errorf("%q and %q: %q, %v", pair[0], pair[1], name, ok)
			}
			if ok && (!matches(pair[0], name) || !matches(pair[1], name)) {
				t.Errorf("%q and %q do not both match %q", pair[0], pair[1], name)
			}
		}
	}
}

// Two globs that match one name overlap, and the name that is found is matched by both.
func FuzzOverlap(f *testing.F) {
	f.Add("a*", "*b", "ab")
	f.Add("[a-c]?", "b[^x]", "by")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if _, ok := parseGlob(a); !ok {
			return
		}
		if _, ok := parseGlob(b); !ok {
			return
		}
		found, ok := overlap(a, b)
		if !ok && matches(a, name) && matches(b, name) {
			t.Errorf("%q and %q both match %q", a, b, name)
		}
		inA, _ := path.Match(a, found)
		if inB, _ := path.Match(b, found); ok && (!inA || !inB) {
			t.Errorf("%q and %q do not both match %q", a, b, found)
		}
	})
}
