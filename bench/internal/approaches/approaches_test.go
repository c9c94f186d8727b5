package approaches

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// TestShortRun is the real thing, small: all servers are built, started, loaded, given a
// namespace more, and ended.
func TestShortRun(t *testing.T) {
	t.Chdir("../..")
	c := Command{
		Placement: trial.Placement{ServerCPU: -1, LoadCPU: -1, Port: 7007, Programs: t.TempDir()},
		Out:       t.TempDir(), Short: true, Size: 64,
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newest(t, c.Out)
	if names := servers(r.Summary.Cells); !slices.Equal(names, usual) {
		t.Fatalf("measured %v, want %v; warnings: %q", names, usual, r.Warnings)
	}
	for _, cell := range r.Summary.Cells {
		complete(t, cell)
	}
	for _, row := range r.Rows {
		if l := row.Life; l.Updates != l.Answered || l.Answered < row.Messages {
			t.Errorf("%s: %d updates, %d answered, %d of them measured", row.Server, l.Updates, l.Answered, row.Messages)
		}
	}
	shape(t, r.Summary)
	section(t, c.Out, r.Pictures)
	if left := running(t, c.Programs); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

func newest(t *testing.T, dir string) *record.Record[Row, Result] {
	t.Helper()
	name, err := record.Newest(dir, "approaches")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Row, Result](name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func servers(cells []Cell) []string {
	var names []string
	for _, c := range cells {
		names = append(names, c.Server)
	}
	return names
}

// complete checks that there is a figure, and a ratio, for everything.
func complete(t *testing.T, c Cell) {
	t.Helper()
	if c.Windows != 2 || c.Lives != 1 || c.Namespaces != 2 {
		t.Errorf("%s: %d windows, %d lives, %d namespaces", c.Server, c.Windows, c.Lives, c.Namespaces)
	}
	for _, m := range metrics {
		if f := c.Figures[m.key]; f.Median <= 0 || f.ToAny == nil || f.ToNamespace == nil {
			t.Errorf("%s, %s: %+v", c.Server, m.key, f)
		}
	}
}

// shape checks what makes the approaches what they are.
func shape(t *testing.T, r Result) {
	t.Helper()
	of := func(server, key string) float64 { return find(r.Cells, server).Figures[key].Median }
	if got := of(forked, "processes"); got != 3 {
		t.Errorf("forked: %v processes, want one for each of 2 namespaces and the core", got)
	}
	if got := of(threaded, "threads"); got <= 2 {
		t.Errorf("threaded: %v threads in 2 namespaces", got)
	}
	for _, name := range []string{threaded, namespace, anyMode, always} {
		if got := of(name, "processes"); got != 1 {
			t.Errorf("%s: %v processes", name, got)
		}
	}
}

// section checks that the page shows every approach and every picture, and that the
// pictures are there.
func section(t *testing.T, dir string, names []string) {
	t.Helper()
	var text strings.Builder
	if err := Section(&text, dir); err != nil {
		t.Fatal(err)
	}
	wanted := slices.Clone(usual)
	for _, name := range names {
		wanted = append(wanted, name+".svg")
		if _, err := os.Stat(filepath.Join(dir, name+".png")); err != nil {
			t.Error(err)
		}
	}
	if len(names) != len(pictures) {
		t.Errorf("%d pictures, want %d", len(names), len(pictures))
	}
	for _, want := range append(wanted, "\n## ") {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q on the page:\n%s", want, text.String())
		}
	}
}

// running lists the processes whose programs are in dir.
func running(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, dir) {
			left = append(left, link+" "+program)
		}
	}
	return left
}

// TestInterrupted checks that a run that is cut short before anything was measured
// writes no record and leaves nothing running.
func TestInterrupted(t *testing.T) {
	t.Chdir("../..")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := Command{
		Placement: trial.Placement{ServerCPU: -1, LoadCPU: -1, Port: 7007, Programs: t.TempDir()},
		Out:       t.TempDir(), Short: true, Size: 64,
	}
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := Section(new(strings.Builder), c.Out); !errors.Is(err, record.ErrNone) {
		t.Errorf("a record of nothing: %v", err)
	}
	if left := running(t, c.Programs); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}
