package main

import (
	"os"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// The page of docs is made of the results that CI holds the program to.
func TestPageIsCurrent(t *testing.T) {
	expected, err := readResults("expected.tsv")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../" + pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != page(expected) {
		t.Errorf("%s is not made of expected.tsv: run the suite with -page", pageFile)
	}
}

// The profiles that make the conformance table have each of Debian's 230 tests once.
func TestEveryTestHasItsProfile(t *testing.T) {
	expected, err := readResults("expected.tsv")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, p := range profiles[:standard] {
		for _, r := range expected {
			if r.profile != p.name {
				continue
			}
			if other, twice := seen[r.test]; twice {
				t.Errorf("%s is on %s and on %s", r.test, other, p.name)
			}
			seen[r.test] = p.name
		}
	}
	if len(seen) != 230 {
		t.Errorf("%d tests have a profile", len(seen))
	}
}

func TestDifferences(t *testing.T) {
	expected := []result{{"thin", "a", "PASS", ""}, {"thin", "b", "FAIL", "it can't"}, {"thin", "c", "PASS", ""}, {"thick", "a", "SKIP", "thin only"}}
	got := []result{{"thin", "a", "FAIL", "why"}, {"thin", "b", "PASS", ""}, {"thick", "a", "SKIP", "other words"}, {"thin", "d", "PASS", ""}}
	want := []string{"thin: a is FAIL, not PASS. why", "thin: b is PASS, not FAIL", "thin: d is PASS, and not among", "thin: c has not run"}
	lines := differences(expected, got)
	if len(lines) != len(want) {
		t.Fatalf("says %q", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("says %q, want %q", line, want[i])
		}
	}
	if lines := differences(expected, expected); lines != nil {
		t.Errorf("no difference is %q", lines)
	}
	if all := explained(expected, got); all[2].why != "thin only" || all[0].why != "why" {
		t.Errorf("explained: %+v", all)
	}
}
