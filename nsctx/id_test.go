package nsctx

import (
	"errors"
	"testing"
)

// Every ID is read back from its String, and nothing else is an ID.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"id:4105", "cookie:1", "paper:4-4026532177-18f3a9", "paper:0-1-0", "paper:1-2--3", "none", "", "id:", "id:01", "id:-1", "paper:1-2-3 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			if !errors.Is(err, ErrInvalidID) || !id.IsZero() {
				t.Errorf("%q: %v, %v", s, id, err)
			}
			return
		}
		if id.String() != s || id.IsZero() {
			t.Errorf("%q is read as %q", s, id)
		}
	})
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]ID{
		"id:4105":      {grade: GradeKernelID, id: 4105},
		"cookie:7":     {grade: GradeCookie, id: 7},
		"paper:4-5-1f": {grade: GradePaper, dev: 4, id: 5, mtime: 31},
	} {
		if got, err := ParseID(s); got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
}
