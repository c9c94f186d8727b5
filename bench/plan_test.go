package main

import (
	"slices"
	"testing"
)

func names(servers []server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.name)
	}
	return all
}

func TestPickServersAddsTheFloor(t *testing.T) {
	got, err := pickServers(allServers, []string{"nsr-namespace"})
	if want := []string{"c-group", "nsr-namespace"}; err != nil || !slices.Equal(names(got), want) {
		t.Errorf("got %v, %v; want %v", names(got), err, want)
	}
}

func TestPickServersRefusesAnUnknownName(t *testing.T) {
	if _, err := pickServers(allServers, []string{"nobody"}); err == nil {
		t.Error("no error")
	}
}

func TestEveryFloorIsAServer(t *testing.T) {
	for _, s := range allServers {
		if !slices.Contains(names(allServers), s.floor) {
			t.Errorf("%s: floor %q does not exist", s.name, s.floor)
		}
	}
}

func TestRotateGivesEveryServerEachPlace(t *testing.T) {
	servers := []server{{name: "a"}, {name: "b"}, {name: "c"}}
	for round, want := range [][]string{{"a", "b", "c"}, {"b", "c", "a"}, {"c", "a", "b"}, {"a", "b", "c"}} {
		if got := names(rotate(servers, round)); !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", round, got, want)
		}
	}
}

func TestParseShape(t *testing.T) {
	if got, err := parseShape("512x20"); err != nil || got != (shape{512, 20}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "4", "x", "4x", "0x1", "1x0", "-1x4", "1x2x3"} {
		if got, err := parseShape(bad); err == nil {
			t.Errorf("%q: got %v and no error", bad, got)
		}
	}
}

func TestParseExtraKeepsEqualSignsOfTheCommand(t *testing.T) {
	got, err := parseExtra("old=c-never=/bin/nsr -mode=any")
	if err != nil || got.name != "old" || got.floor != "c-never" || got.program != "/bin/nsr" ||
		!slices.Equal(got.args, []string{"-mode=any"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseExtra("old=/bin/nsr"); err == nil {
		t.Error("no error without a floor")
	}
}
