package packets

import (
	"context"
	"slices"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestShortRunMeasuresEveryServer runs all of them.
func TestShortRunMeasuresEveryServer(t *testing.T) {
	t.Chdir("../..") // where c/ and cmd/ are
	out := t.TempDir()
	c := new(Command)
	if _, err := kong.Must(c).Parse([]string{"--short", "--nice", "0", "--out", out}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(out, "packets")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Row, []Summary](name)
	if err != nil {
		t.Fatal(err)
	}
	var measured []string
	for _, s := range r.Summary {
		measured = append(measured, s.Server)
		if s.CPU <= 0 || s.Rate <= 0 || s.Ratio.Median <= 0 {
			t.Errorf("an empty figure: %+v", s)
		}
	}
	if !slices.Equal(measured, names) {
		t.Errorf("measured are %q, want %q", measured, names)
	}
}

// Burst by burst, a row's ratio is to the first server in the same round.
func TestSummarizeComparesWithinARound(t *testing.T) {
	rows := []Row{
		{Server: names[0], Round: 0, CPU: 6},
		{Server: names[2], Round: 0, CPU: 3},
		{Server: names[0], Round: 1, CPU: 12},
		{Server: names[2], Round: 1, CPU: 6},
	}
	if got := summarize(rows, 1)[2].Ratio.Median; got != 2 {
		t.Errorf("the ratio is %v, want 2", got)
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, args := range [][]string{{"--sockets", "0"}, {"--bursts", "0"}, {"--bursts", "2000"}, {"--size", "7"}, {"--size", "65508"}, {"--seconds", "0"}} {
		if _, err := kong.Must(new(Command)).Parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
