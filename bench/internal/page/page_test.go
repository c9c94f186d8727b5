package page

import (
	"strings"
	"testing"
)

func TestVerdictsBeginWithWhatWasNotReached(t *testing.T) {
	var b strings.Builder
	Verdicts(&b, []Verdict{{"easy", "1", true}, {"hard", "2", false}})
	if miss, hit := strings.Index(b.String(), "- hard: 2"), strings.Index(b.String(), "- easy: 1"); miss < 0 || hit < miss {
		t.Errorf("got %s", b.String())
	}
	b.Reset()
	Verdicts(&b, nil)
	if b.Len() != 0 {
		t.Errorf("nothing aimed for: got %q", b.String())
	}
}

func TestTableHasAColumnForEachHead(t *testing.T) {
	var b strings.Builder
	Table(&b, []string{"a", "b"}, [][]string{{"1", "2"}})
	if want := "\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
