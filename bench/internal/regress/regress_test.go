package regress

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func command(t *testing.T, args ...string) *Command {
	t.Helper()
	c := new(Command)
	if _, err := kong.Must(c, kong.Exit(func(int) {})).Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStructureHoldsExactly compares what does not depend on time with the kept
// baseline: events, switches, allocations and system calls a message. It is the part of
// the regression test that CI can rely on.
func TestStructureHoldsExactly(t *testing.T) {
	t.Chdir("../..") // where c/, cmd/ and the baseline are
	out := t.TempDir()
	if err := command(t, "--short", "--nice", "0", "--out", out).Run(context.Background()); err != nil {
		t.Error(err)
	}
	name, err := record.Newest(out, "regress")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Metric, Result](name)
	if err != nil || len(r.Rows) != len(modes)*(3+len(counted)) {
		t.Errorf("%d figures, %v; want %d", len(r.Rows), err, len(modes)*(3+len(counted)))
	}
	for _, line := range r.Summary.Lines {
		if line.Outcome != same {
			t.Errorf("%s: %v, expected %v: %s", line.Name, line.Value, line.Expected, line.Outcome)
		}
	}
	var page strings.Builder
	if err := Section(&page, out); err != nil || !strings.Contains(page.String(), "setns a message") {
		t.Errorf("section: %v\n%s", err, page.String())
	}
}

// TestARegressionFails expects one switch a message fewer than there is.
func TestARegressionFails(t *testing.T) {
	t.Chdir("../..")
	b, err := readBaseline("baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Expectations {
		if b.Expectations[i].Name == "namespace: switches a message" {
			b.Expectations[i].Value--
		}
	}
	wrong := filepath.Join(t.TempDir(), "baseline.json")
	if err := b.write(wrong); err != nil {
		t.Fatal(err)
	}
	err = command(t, "--short", "--nice", "0", "--out", t.TempDir(), "--baseline", wrong).Run(context.Background())
	if !errors.Is(err, ErrRegressed) || !strings.Contains(err.Error(), "1 of ") {
		t.Errorf("got %v, want that 1 figure regressed", err)
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "0"}, {"--calibrate", "-1"}, {"--calibrate", "2", "--short"}} {
		if _, err := kong.Must(new(Command), kong.Exit(func(int) {})).Parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	err := command(t, "--baseline", filepath.Join(t.TempDir(), "none")).Run(context.Background())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no baseline: got %v", err)
	}
}
