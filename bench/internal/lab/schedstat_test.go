package lab

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
