package parallel

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/figure"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// TestShortRunMeasuresAllServers runs the command as CI does, with the real servers, and
// looks at what does not depend on the machine.
func TestShortRunMeasuresAllServers(t *testing.T) {
	t.Chdir("../..") // where the sources are that it builds
	dir := t.TempDir()
	c := Command{Work: []int{0}, Conns: 1, Rounds: 1, Seconds: 1, Size: 64, Port: 7007, Programs: filepath.Join(dir, "bin"), Out: dir, Short: true}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(dir, "parallel")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Row, Summary](name)
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range r.Warnings {
		if strings.Contains(warning, "not measured") {
			t.Error(warning)
		}
	}
	for _, micros := range []int{0, 100} {
		if n := len(r.Summary.of(micros, Threaded)); n != 1 {
			t.Errorf("%d µs: %d points of a thread per namespace", micros, n)
		}
		for _, family := range []Family{Reactor, InC} {
			if own := r.Summary.of(micros, family); len(own) != runtime.NumCPU() {
				t.Errorf("%d µs, %s: got %d points", micros, family, len(own))
			}
		}
	}
	for _, row := range r.Rows {
		if row.Messages == 0 || row.Rate <= 0 || row.CPUMicros < float64(row.Work)/4 {
			t.Errorf("got %+v", row)
		}
	}
	var text strings.Builder
	if err := Section(&text, dir); err != nil || !strings.Contains(text.String(), "nsreactor × 1") {
		t.Errorf("the page: %v: %s", err, text.String())
	}
	checkPictures(t, dir, r.Pictures)
}

func checkPictures(t *testing.T, dir string, names []string) {
	t.Helper()
	if len(names) < 2 {
		t.Errorf("got pictures %q", names)
	}
	for _, name := range names {
		for _, ending := range []string{".svg", ".png"} {
			if info, err := os.Stat(filepath.Join(dir, name+ending)); err != nil || info.Size() == 0 {
				t.Errorf("%s%s: %v", name, ending, err)
			}
		}
	}
}

func TestInterruptedRunSavesNothing(t *testing.T) {
	t.Chdir("../..")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	c := Command{Work: []int{0}, Conns: 1, Rounds: 1, Seconds: 1, Size: 64, Port: 7007, Programs: filepath.Join(dir, "bin"), Out: dir}
	if err := c.Run(ctx); err == nil {
		t.Error("no error")
	}
	if _, err := record.Newest(dir, "parallel"); !errors.Is(err, record.ErrNone) {
		t.Errorf("got %v, want that there is no record", err)
	}
}

func TestEntriesAreComparedToTheFewestLoops(t *testing.T) {
	all := entries([]int{1, 2}, 100, []string{"-incoming"})
	if got, want := trial.Names(servers(all)), []string{
		"nsreactor × 1", "nsreactor × 2", "a thread per namespace", "a loop in C × 1", "a loop in C × 2",
	}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	for _, e := range all {
		args := strings.Join(e.Args, " ")
		if e.Floor != "nsreactor × 1" || !strings.Contains(args, "{size}") || !strings.Contains(args, "100") {
			t.Errorf("got %+v", e)
		}
		if strings.Contains(args, "-incoming") != (e.family == Reactor) {
			t.Errorf("%s: got %q", e.Name, args)
		}
	}
}

// summed is what a run comes to in which two loops speed up so much, and of 1000 sampled
// messages so many were handled where they were received.
func summed(speedUp float64, onReceiving uint64) Summary {
	point := func(f Family, loops int, rate float64, sampled uint64) Point {
		return Point{
			Work: targetWork, Family: f, Loops: loops, Sampled: sampled, OnReceiving: onReceiving,
			Summary: trial.Summary{Server: name(f, loops), Rate: rate, RateRatio: &stats.Estimate{Median: rate / 1000, Low: rate / 1000, High: rate / 1000, N: 1}},
		}
	}
	return Summary{[]Point{point(Reactor, 1, 1000, 0), point(Reactor, 2, 1000*speedUp, 1000), point(Threaded, 1, 990, 0)}}
}

func TestVerdictsGoBothWays(t *testing.T) {
	for _, test := range []struct {
		summary Summary
		want    []bool
	}{
		{summed(1.9, 990), []bool{true, true, true}},
		{summed(1.2, 100), []bool{false, true, false}},
	} {
		var got []bool
		for _, v := range test.summary.verdicts(2) {
			got = append(got, v.Reached)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("got %v, want %v: %+v", got, test.want, test.summary.verdicts(2))
		}
	}
}

// TestOneLoopOfTwoCPUsHasNoTarget: what it can't receive itself others have to.
func TestOneLoopOfTwoCPUsHasNoTarget(t *testing.T) {
	s := summed(1.9, 500)
	if got := s.verdicts(4); len(got) != 2 {
		t.Errorf("got %+v, want nothing of shares", got)
	}
}

func TestShareIsUnknownWithoutSamples(t *testing.T) {
	points := summed(1, 250).Points
	if !math.IsNaN(points[0].share()) || percent(points[0].share()) != "–" || percent(points[1].share()) != "25.0 %" {
		t.Errorf("got %v, %v", points[0].share(), points[1].share())
	}
	if got := sharePicture(Summary{points[:1]}, ""); len(got.Series) != 0 {
		t.Errorf("nobody has looked: got %+v", got.Series)
	}
	if got := sharePicture(Summary{points}, ""); len(got.Series) != 1 || got.Series[0].Y[0] != 25 {
		t.Errorf("got %+v", got.Series)
	}
}

func TestIdealLineIsOneLoopTimesLoops(t *testing.T) {
	for _, line := range throughput(summed(1.5, 0), targetWork) {
		if line.Foreign && !slices.Equal(line.Y, []float64{1000, 2000}) {
			t.Errorf("ideal: got %+v", line)
		}
	}
	ideal := slices.ContainsFunc(throughput(summed(1.5, 0), targetWork), func(s figure.Series) bool { return s.Foreign })
	if !ideal {
		t.Error("no ideal line")
	}
}

func TestPointsTakeTheirServersCounters(t *testing.T) {
	field := entries([]int{1, 2}, 7, nil)
	r := trial.Results{
		Windows: []trial.Window{{Server: "nsreactor × 2", Rate: 20}, {Server: "nsreactor × 1", Rate: 10}},
		Lives:   []trial.Life{{Server: "nsreactor × 2", Counters: trial.Counters{Sampled: 8, OnReceiving: 6}}},
	}
	got := points(field, 7, r)
	if len(got) != 2 || got[1].Loops != 2 || got[1].Work != 7 || got[1].share() != 0.75 || got[1].RateRatio.Median != 2 || !math.IsNaN(got[0].share()) {
		t.Errorf("got %+v", got)
	}
	if lines := rows(field, 7, r); len(lines) != 2 || lines[0].Family != Reactor || lines[0].Loops != 2 {
		t.Errorf("got %+v", lines)
	}
}

func TestValidateRefuses(t *testing.T) {
	good := Command{Conns: 1, Rounds: 1, Seconds: 1, Size: 16, Port: 7007}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Command){
		"no loop":       func(c *Command) { c.Loops = []int{0} },
		"loops":         func(c *Command) { c.Loops = []int{runtime.NumCPU() + 1} },
		"work":          func(c *Command) { c.Work = []int{-1} },
		"queues":        func(c *Command) { c.Queues = -1 },
		"connections":   func(c *Command) { c.Conns = 0 },
		"small message": func(c *Command) { c.Size = 8 },
		"nice":          func(c *Command) { c.Nice = 20 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
