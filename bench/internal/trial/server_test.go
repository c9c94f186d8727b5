package trial

import (
	"slices"
	"testing"
)

var someServers = []Server{{Name: "floor", Floor: "floor"}, {Name: "group", Floor: "floor"}, {Name: "mine", Floor: "group"}}

func TestPickAddsTheFloor(t *testing.T) {
	got, err := Pick(someServers, []string{"mine"})
	if want := []string{"group", "mine"}; err != nil || !slices.Equal(Names(got), want) {
		t.Errorf("got %v, %v; want %v", Names(got), err, want)
	}
	if got, err := Pick(someServers, nil); err != nil || len(got) != 3 {
		t.Errorf("no names: got %v, %v; want all", Names(got), err)
	}
	if _, err := Pick(someServers, []string{"nobody"}); err == nil {
		t.Error("no error for an unknown name")
	}
}

func TestRotateGivesEveryServerEachPlace(t *testing.T) {
	letters := []string{"a", "b", "c"}
	for round, want := range [][]string{{"a", "b", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"a", "b", "c"}} {
		if got := rotate(letters, round); !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", round, got, want)
		}
	}
}

func TestShapeIsReadAsItIsWritten(t *testing.T) {
	var s Shape
	if err := s.UnmarshalText([]byte("512x20")); err != nil || s != (Shape{512, 20}) || s.String() != "512x20" {
		t.Errorf("got %v, %v", s, err)
	}
	for _, bad := range []string{"", "4", "x", "4x", "0x1", "1x0", "-1x4", "1x2x3"} {
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: got %v and no error", bad, s)
		}
	}
}

func TestParseExtraKeepsEqualSignsOfTheCommand(t *testing.T) {
	got, err := ParseExtra("old=c-never=/bin/nsr -mode=any")
	if err != nil || got.Name != "old" || got.Floor != "c-never" || got.Program != "/bin/nsr" ||
		!slices.Equal(got.Args, []string{"-mode=any"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseExtra("old=/bin/nsr"); err == nil {
		t.Error("no error without a floor")
	}
}
