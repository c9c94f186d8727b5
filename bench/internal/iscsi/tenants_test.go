package iscsi

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// newest runs a command as the command line would, and loads what it has written.
func newest[Row, Summary any](t *testing.T, c interface {
	Run(ctx context.Context) error
}, name string,
) *record.Record[Row, Summary] {
	t.Helper()
	t.Chdir("../..") // the example is built from there
	out := t.TempDir()
	if _, err := kong.Must(c).Parse([]string{"--short", "--nice", "0", "--out", out}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	file, err := record.Newest(out, name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Row, Summary](file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestShortTenants: one process of ours, and a tgtd for each, do what they are asked for.
func TestShortTenants(t *testing.T) {
	c := new(Tenants)
	r := newest[House, struct{}](t, c, "tenants")
	if len(r.Rows) != 2 {
		t.Fatalf("%d kinds of servers, want 2", len(r.Rows))
	}
	for i, want := range []int{1, c.Tenants} {
		h := r.Rows[i]
		if h.Processes != want || h.Threads < want || h.Files < c.Tenants || h.PSS == 0 || h.Start == 0 {
			t.Errorf("%d processes expected: %+v", want, h)
		}
		for _, s := range []Share{h.Light, h.Burst} {
			if s.IOPS <= 0 || s.CPU <= 0 || s.P50 <= 0 || s.P99 < s.P50 {
				t.Errorf("an empty figure: %+v", s)
			}
		}
	}
	var text strings.Builder
	c.section(&text, r)
	if !strings.Contains(text.String(), "| processes | 1 | 4 | 4.00 |") {
		t.Error(text.String())
	}
}

// TestShortNoise: there is noise in all scenes but the first, and the quiet one gets
// something in each.
func TestShortNoise(t *testing.T) {
	c := new(Noise)
	r := newest[Hearing, []Hearing](t, c, "noise")
	if len(r.Summary) != len(c.scenes()) {
		t.Fatalf("%d scenes, want %d", len(r.Summary), len(c.scenes()))
	}
	for i, s := range c.scenes() {
		h := r.Summary[i]
		if h.Scene != s.name || h.IOPS <= 0 || h.P50 <= 0 || h.P999 < h.P99 || h.P99 < h.P50 || h.Noise > 0 != s.noise {
			t.Errorf("%s: %+v", s.name, h)
		}
	}
	var text strings.Builder
	c.section(&text, r)
	if !strings.Contains(text.String(), "| "+quietMin+" |") {
		t.Error(text.String())
	}
}

func TestNoiseVerdicts(t *testing.T) {
	c := &Noise{Min: 3000, Max: 200}
	for _, test := range []struct {
		iops, noise float64
		reached     int
	}{{2850, 206, 2}, {2849, 206, 1}, {2849, 207, 0}} {
		reached := 0
		for _, v := range c.verdicts([]Hearing{{Scene: alone}, {Scene: noisyMax, Noise: test.noise}, {Scene: quietMin, IOPS: test.iops}}) {
			if v.Reached {
				reached++
			}
		}
		if reached != test.reached {
			t.Errorf("%+v: %d reached", test, reached)
		}
	}
}

// TestHearIsOfMedians: of each figure for itself, and in the scenes' order.
func TestHearIsOfMedians(t *testing.T) {
	var rows []Hearing
	for round, n := range []int{5, 1, 3} {
		for _, name := range []string{quietMin, alone} {
			rows = append(rows, Hearing{Scene: name, Round: round, IOPS: float64(n), P99: time.Duration(10 - n)})
		}
	}
	got := hear(rows)
	if len(got) != 2 || got[0].Scene != quietMin || got[1].IOPS != 3 || got[1].P99 != 7 {
		t.Errorf("%+v", got)
	}
}
