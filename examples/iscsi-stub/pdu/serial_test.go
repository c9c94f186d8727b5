package pdu_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

func TestSerialsCompareAcrossTheWrap(t *testing.T) {
	const last = pdu.Serial(1<<32 - 1)
	for _, c := range []struct {
		s, t          pdu.Serial
		before, after bool
	}{
		{1, 1, false, false},
		{1, 2, true, false},
		{last, 0, true, false},
		{0, last, false, true},
		{last - 5, 5, true, false},
		{0, 1<<31 - 1, true, false},
		{0, 1<<31 + 1, false, true},
		{0, 1 << 31, false, false}, // RFC 1982, 3.2: not defined
		{7, 1<<31 + 7, false, false},
	} {
		if c.s.Before(c.t) != c.before || c.t.Before(c.s) != c.after {
			t.Errorf("%d before %d: %v, and after: %v", c.s, c.t, c.s.Before(c.t), c.t.Before(c.s))
		}
	}
	if d := pdu.Serial(2).Sub(last); d != 3 {
		t.Errorf("2 is %d ahead of 2³²-1", d)
	}
	if d := last.Sub(2); d != -3 {
		t.Errorf("2³²-1 is %d ahead of 2", d)
	}
}

func TestAWindowMayLieAcrossTheWrap(t *testing.T) {
	const last = pdu.Serial(1<<32 - 1)
	for _, c := range []struct {
		s, from, to pdu.Serial
		want        bool
	}{
		{5, 5, 5, true},
		{4, 5, 8, false},
		{8, 5, 8, true},
		{9, 5, 8, false},
		{last, last - 1, 2, true},
		{0, last - 1, 2, true},
		{2, last - 1, 2, true},
		{3, last - 1, 2, false},
		{last - 2, last - 1, 2, false},
		{5, 5, 4, false}, // closed
		{4, 5, 4, false},
		{0, 0, last, false},
		{1<<31 + 5, 5, 8, false},
		{1<<31 + 5, 5, 5, false}, // neither before nor after
	} {
		if got := c.s.Within(c.from, c.to); got != c.want {
			t.Errorf("%d within %d to %d: %v", c.s, c.from, c.to, got)
		}
	}
}
