package main

import "testing"

func TestParseSchedstat(t *testing.T) {
	got, err := parseSchedstat([]byte("123456789 42 7\n"))
	if want := (schedstat{123456789, 42, 7}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 2", "1 2 3 4", "1 x 3", "-1 2 3"} {
		if _, err := parseSchedstat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSinceMindsThreadsThatComeAndGo(t *testing.T) {
	before := map[string]schedstat{"1": {100, 10, 1}, "2": {1000, 0, 5}}
	after := map[string]schedstat{"1": {150, 12, 3}, "3": {30, 1, 1}}
	if got, want := since(before, after), (schedstat{80, 3, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
