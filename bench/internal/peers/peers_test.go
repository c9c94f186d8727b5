package peers

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// command parses a command line.
func command(t *testing.T, args ...string) *Command {
	t.Helper()
	c := new(Command)
	if _, err := kong.Must(c, kong.Exit(func(int) {})).Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestShortRunMeasuresEveryPart runs all servers on real namespaces.
func TestShortRunMeasuresEveryPart(t *testing.T) {
	t.Chdir("../..") // where c/ and cmd/ are
	out := t.TempDir()
	c := command(t, "--short", "--nice", "0", "--out", out)
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(out, "peers")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[trial.Window, Result](name)
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range r.Warnings {
		if strings.HasPrefix(warning, "not measured") {
			t.Error(warning)
		}
	}
	got := r.Summary
	web := len(httpServers)
	if haproxyVersion(context.Background()) == "" {
		web--
	}
	if len(got.Cells) != len(servers) || len(got.HTTP) != web || len(got.Accept) != len(servers) || len(got.Idle) != len(servers) {
		t.Errorf("%d cells, %d of HTTP, %d accepts, %d idle; want each of %d servers, %d for HTTP",
			len(got.Cells), len(got.HTTP), len(got.Accept), len(got.Idle), len(servers), web)
	}
	if want := (1 + 1 + len(shares)) * len(servers); len(got.Open) != want {
		t.Errorf("%d rates of servers in the open loop, want %d", len(got.Open), want)
	}
	for _, cell := range got.Cells {
		if cell.CPUMicros <= 0 || cell.Rate <= 0 || cell.P50 <= 0 || cell.PSSMB <= 0 || cell.Threads < 1 || cell.CPURatio == nil {
			t.Errorf("an empty figure: %+v", cell)
		}
		if cell.Server == anyMode && (cell.Batch < 1 || cell.Switches != 0) {
			t.Errorf("mode any: %v events a wait and %v switches an event; want 1 at least, and none", cell.Batch, cell.Switches)
		}
		if cell.Server == namespace && (cell.Switches <= 0 || cell.ToAny == nil) {
			t.Errorf("mode namespace: %v switches an event, %v to mode any", cell.Switches, cell.ToAny)
		}
	}
	if left, err := os.ReadDir("/run/netns"); err == nil && len(left) > 0 && os.Getuid() != 0 {
		t.Errorf("namespaces are left: %v", left)
	}
	var page strings.Builder
	if err := Section(&page, out); err != nil || !strings.Contains(page.String(), "mode any at most") {
		t.Errorf("section: %v\n%s", err, page.String())
	}
}

// TestAnInterruptedRunSaysSo cuts a run off before its first window.
func TestAnInterruptedRunSaysSo(t *testing.T) {
	t.Chdir("../..")
	out := t.TempDir()
	c := command(t, "--short", "--nice", "0", "--parts", "accept", "--servers", "nsr-any", "--out", out)
	ctx, cancel := context.WithCancel(context.Background())
	built := trial.Build(ctx, c.Programs, servers)
	cancel()
	c.NoBuild = true
	if err := errors.Join(built, c.Run(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	name, err := record.Newest(out, "peers")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[trial.Window, Result](name)
	if err != nil || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "interrupted") {
		t.Errorf("got %+v, %v; want a warning that it was interrupted", r.Warnings, err)
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--rounds", "0"}, {"--seconds", "-1"}, {"--sizes", "0"}, {"--shapes", "4"}, {"--parts", "everything"}, {"--server-cpu", "4096"},
	} {
		if _, err := kong.Must(new(Command), kong.Exit(func(int) {})).Parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	c := command(t, "--servers", "nobody")
	if err := (&run{Command: c}).choose(); err == nil || !strings.Contains(err.Error(), "nsr-any") {
		t.Errorf("an unknown server: got %v, want the names of those that there are", err)
	}
}

func TestVerdictsGoBothWays(t *testing.T) {
	r := Result{Idle: []Holding{
		{Server: anyMode, Shape: "10x10", Connections: 100, AfterPSSKB: 100, AfterBytes: 900},
		{Server: gnet, Shape: "10x10", AfterPSSKB: 90},
		{Server: goNet, Shape: "10x10", AfterPSSKB: 2000},
	}}
	var reached []bool
	for _, v := range r.verdicts() {
		reached = append(reached, v.Reached)
	}
	if want := []bool{true, false, true}; len(reached) != 3 || reached[0] != want[0] || reached[1] != want[1] || reached[2] != want[2] {
		t.Errorf("got %v, want %v: %+v", reached, want, r.verdicts())
	}
}
