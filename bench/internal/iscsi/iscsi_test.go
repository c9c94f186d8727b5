package iscsi

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestShortRun runs real clients on a real target, and counts its system calls.
func TestShortRun(t *testing.T) {
	t.Chdir("../..") // the example is built from there
	out := t.TempDir()
	c := new(Command)
	if _, err := kong.Must(c).Parse([]string{"--short", "--nice", "0", "--out", out}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	name, err := record.Newest(out, "iscsi")
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.Load[Run, Result](name)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, k := range cases {
		want += 3 // tgtd with a file; ours with a file and in memory
		if k.null {
			want-- // one each
		}
	}
	if len(r.Summary.Figures) != want || len(r.Summary.Calls) != want {
		t.Fatalf("%d figures, %d counts of calls, want %d of each", len(r.Summary.Figures), len(r.Summary.Calls), want)
	}
	for i, f := range r.Summary.Figures {
		if f.IOPS <= 0 || f.CPU <= 0 || r.Summary.Calls[i].Total <= 0 {
			t.Errorf("an empty figure: %+v, %+v", f, r.Summary.Calls[i])
		}
	}
	var text strings.Builder
	if err := Section(&text, out); err != nil || !strings.Contains(text.String(), random4K) {
		t.Errorf("section: %v\n%s", err, text.String())
	}
}

func TestParseClients(t *testing.T) {
	perf, qemu := load{depth: 1}, load{ios: 1}
	d, err := perf.parse([]byte("00:00:01 - lba 1, iops current 9 \riops average 2500 (9 MB/s)   \n\nfinished.\n"), 0, 2)
	if err != nil || d.ios != 5000 || d.took != 2*time.Second {
		t.Errorf("iscsi-perf: %+v, %v", d, err)
	}
	d, err = qemu.parse([]byte("Sending 30 …\nRun completed in 0.500 seconds.\n"), 30, 2)
	if err != nil || d.ios != 30 || d.took != 500*time.Millisecond {
		t.Errorf("qemu-img: %+v, %v", d, err)
	}
	for _, l := range []load{perf, qemu} {
		if _, err := l.parse([]byte("iops average 0 (0 MB/s)\nRun completed in 0 seconds"), 1, 1); err == nil {
			t.Errorf("%+v: no error for a run that did nothing", l)
		}
	}
}

func TestVerdictsGoBothWays(t *testing.T) {
	for _, test := range []struct {
		iops, cpu, calls float64
		reached          int
	}{{1.6, 0.5, 1.9, 3}, {1.4, 0.5, 1.9, 2}, {1.6, 0.7, 2, 1}} {
		f := Figure{Case: random4K, Server: "iscsi-stub", IOPSRatio: &stats.Estimate{Median: test.iops}, CPURatio: &stats.Estimate{Median: test.cpu}}
		r := Result{Figures: []Figure{f}, Calls: []Calls{{Case: random4K, Server: "iscsi-stub", Total: test.calls}}}
		reached := 0
		for _, v := range r.verdicts() {
			if v.Reached {
				reached++
			}
		}
		if reached != test.reached {
			t.Errorf("%+v: %+v", test, r.verdicts())
		}
	}
}

// TestRatiosAreOfTheSameRound: rounds differ by more than servers do.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	var rows []Run
	for round, speed := range []float64{100, 1000, 300} {
		rows = append(rows,
			Run{Case: random4K, Server: "tgtd", Medium: "file", Round: round, IOPS: speed, CPU: 10},
			Run{Case: random4K, Server: "iscsi-stub", Medium: "memory", Round: round, IOPS: 2 * speed, CPU: 5})
	}
	figures := sum(rows)
	if len(figures) != 2 || figures[0].IOPSRatio != nil || figures[1].IOPSRatio.Low != 2 || figures[1].CPURatio.High != 0.5 {
		t.Errorf("got %+v", figures)
	}
}
