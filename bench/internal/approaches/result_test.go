package approaches

import (
	"strings"
	"testing"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// window is a row of a window side by side.
func window(server string, round int, rate, cpu float64) Row {
	return Row{Window: trial.Window{Server: server, Shape: trial.Shape{Namespaces: 8, Conns: 4}, Round: round, Rate: rate, CPUMicros: cpu}}
}

// life is a row of a life alone.
func life(server string, round, pss int, cpu float64) Row {
	r := window(server, round, 1, cpu)
	r.Alone, r.Life.Memory = true, lab.Memory{PSS: pss}
	return r
}

func TestSummarizeKeepsLivesAndWindowsApart(t *testing.T) {
	rows := []Row{
		life(forked, 0, 4096, 40), life(anyMode, 0, 1024, 10), life(forked, 1, 8192, 40), life(anyMode, 1, 1024, 10),
		// Round 1 was slow for both; the rival's round 2 has nothing beside it.
		window(forked, 0, 100, 50), window(anyMode, 0, 200, 10), window(forked, 1, 50, 100), window(anyMode, 1, 100, 20),
		window(forked, 2, 999, 999),
	}
	cells := summarize(known, rows)
	if len(cells) != 2 || cells[0].Server != forked || cells[1].Server != anyMode {
		t.Fatalf("got %+v", cells)
	}
	c := cells[0]
	if c.Windows != 3 || c.Lives != 2 || c.Namespaces != 8 || c.Company != 2.5 {
		t.Errorf("got %+v; want 3 windows, 2 lives, 8 namespaces, and 100 to 40 µs in company", c)
	}
	if f := c.Figures["rate"]; f.Median != 100 || f.ToAny == nil || f.ToAny.Median != 0.5 || f.ToAny.N != 2 || f.ToNamespace != nil {
		t.Errorf("rate: got %+v", f)
	}
	if f := c.Figures["pss_mib"]; f.Median != 6 || f.ToAny == nil || f.ToAny.Median != 6 {
		t.Errorf("memory: got %+v", f)
	}
}

func TestSummarizeLeavesOutWhatWasNotMeasured(t *testing.T) {
	cells := summarize(known, []Row{life(threaded, 0, 1024, 1)})
	if len(cells) != 1 {
		t.Fatalf("got %+v", cells)
	}
	if _, there := cells[0].Figures["rate"]; there || cells[0].text(metricOf("rate")) != "–" {
		t.Errorf("a rate without a window side by side: %+v", cells[0])
	}
	if f := cells[0].Figures["pss_mib"]; f.Median != 1 || f.ToAny != nil {
		t.Errorf("memory: got %+v; want no ratio to what is not there", f)
	}
}

func TestCompareAsksTheWholeInterval(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		more      bool
		want      side
	}{
		{0.9, 1.1, true, even},
		{1.01, 1.1, true, better},
		{0.8, 0.99, true, worse},
		{0.9, 1.1, false, even},
		{1.01, 1.1, false, worse},
		{0.8, 0.99, false, better},
		{1, 1, false, even},
	} {
		if got := compare(stats.Estimate{Low: c.low, High: c.high}, c.more); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// cell is a rival's or a mode's, with a ratio to nsr-any.
func cell(server string, namespaces int, key string, ratio float64) Cell {
	return Cell{Server: server, Namespaces: namespaces, Figures: map[string]Figure{
		key: {Median: ratio, ToAny: &stats.Estimate{Median: ratio, Low: ratio * 0.99, High: ratio * 1.01, N: 3}},
	}}
}

func TestVerdictsSayWhereARivalIsBetter(t *testing.T) {
	r := Result{Cells: []Cell{
		cell(threaded, 1, "cpu_us", 0.9), cell(anyMode, 1, "cpu_us", 1),
		cell(threaded, 8, "cpu_us", 1.5), cell(anyMode, 8, "cpu_us", 1),
	}}
	got := r.duel(anyMode, threaded)
	if len(got) != 1 || got[0].Reached || !strings.Contains(got[0].Got, "0.90 (0.89–0.91) with 1 namespace") || strings.Contains(got[0].Got, "with 8") {
		t.Errorf("got %+v", got)
	}
	r.Cells[0] = cell(threaded, 1, "cpu_us", 1.2)
	got = r.duel(anyMode, threaded)
	if len(got) != 1 || !got[0].Reached || !strings.Contains(got[0].Got, "CPU time a request 1.20–1.50") {
		t.Errorf("a rival that is worse everywhere: got %+v", got)
	}
	r.Cells[0], r.Cells[2] = cell(threaded, 1, "cpu_us", 1), cell(threaded, 8, "cpu_us", 1.005)
	got = r.duel(anyMode, threaded)
	if len(got) != 1 || !strings.Contains(got[0].What, "can't be told apart") {
		t.Errorf("a rival that is even: got %+v", got)
	}
	if got := r.duel(anyMode, forked); got != nil {
		t.Errorf("a rival that was not measured: got %+v", got)
	}
}

func TestCostNamesWhereTheDefaultIsWorse(t *testing.T) {
	r := Result{Cells: []Cell{
		cell(namespace, 1, "cpu_us", 1), cell(anyMode, 1, "cpu_us", 1), cell(namespace, 64, "cpu_us", 1.1), cell(anyMode, 64, "cpu_us", 1),
	}}
	if got := r.cost(); len(got) != 1 || got[0].Reached || got[0].Got != "1.10 (1.09–1.11) with 64 namespaces" {
		t.Errorf("got %+v", got)
	}
	r.Cells = r.Cells[:2]
	if got := r.cost(); len(got) != 1 || !got[0].Reached {
		t.Errorf("nowhere worse: got %+v", got)
	}
}

func TestDigits(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 4653: "4653", 7: "7", 99.96: "100.0"} {
		if got := digits(value); got != want {
			t.Errorf("%v: got %s, want %s", value, got, want)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	good := Command{Namespaces: []int{1}, Conns: 1, Size: 64, Lives: 1, Adds: 1, Rounds: 1, Seconds: 0.1}
	if err := good.Validate(); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for name, spoil := range map[string]func(*Command){
		"no namespaces":   func(c *Command) { c.Namespaces = nil },
		"zero namespaces": func(c *Command) { c.Namespaces = []int{8, 0} },
		"small messages":  func(c *Command) { c.Size = 15 },
		"no window":       func(c *Command) { c.Seconds = 0 },
		"no life":         func(c *Command) { c.Lives = 0 },
		"unknown server":  func(c *Command) { c.Servers = []string{"apache"} },
	} {
		c := good
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
