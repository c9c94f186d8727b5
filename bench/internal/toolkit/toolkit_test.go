package toolkit

import (
	"context"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestShortRunMeasuresEveryPart runs all servers on real namespaces.
func TestShortRunMeasuresEveryPart(t *testing.T) {
	t.Chdir("../..") // where c/ and cmd/ are
	out := t.TempDir()
	c := new(Command)
	if _, err := kong.Must(c).Parse([]string{"--short", "--nice", "0", "--out", out}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(out, "toolkit")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[trial.Window, Result](name)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Summary.Parts) != len(parts) {
		t.Fatalf("%d parts, want %d; warnings %q", len(r.Summary.Parts), len(parts), r.Warnings)
	}
	for i, f := range r.Summary.Parts {
		if len(f.Summaries) != len(parts[i].servers) {
			t.Errorf("%s: %d servers, want %d; warnings %q", f.Part, len(f.Summaries), len(parts[i].servers), r.Warnings)
		}
		for _, s := range f.Summaries {
			if s.CPUMicros <= 0 || s.Rate <= 0 || s.CPURatio == nil || s.RateRatio == nil {
				t.Errorf("an empty figure: %+v", s)
			}
		}
	}
	var page strings.Builder
	if err := Section(&page, out); err != nil || !strings.Contains(page.String(), "net/http on Engine.Listener") {
		t.Errorf("section: %v\n%s", err, page.String())
	}
}

func TestVerdictsGoBothWays(t *testing.T) {
	const server = "net/http on Engine.Listener"
	for _, test := range []struct {
		cpu, rate float64
		reached   bool
	}{{1.04, 0.96, true}, {1.06, 1, false}, {1, 0.94, false}} {
		r := Result{Parts: []Figures{{Part: "bridge", Summaries: []trial.Summary{{
			Server: server, Floor: "net/http",
			CPURatio: &stats.Estimate{Median: test.cpu}, RateRatio: &stats.Estimate{Median: test.rate},
		}}}}}
		if v := r.verdicts(); len(v) != 1 || v[0].Reached != test.reached {
			t.Errorf("%+v: %+v", test, v)
		}
	}
}
