// Package iscsi measures examples/iscsi-stub against tgtd, the target that Debian has:
// the same clients, load and media, one after the other in each round.
package iscsi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
)

// Command is the command line.
type Command struct {
	Out       string   `help:"Folder to write to." default:"results" type:"path"`
	Short     bool     `help:"A short form that checks that all works: one round, a fraction of the I/Os."`
	Servers   []string `help:"What to measure: ${enum}; ratios are to tgtd." enum:"tgtd,iscsi-stub" default:"tgtd,iscsi-stub"`
	Rounds    int      `help:"How often each is measured in a case." default:"7"`
	Seconds   int      `help:"How long iscsi-perf runs." default:"2"`
	ServerCPU int      `help:"CPU that servers are pinned to; any with --server-cpu=-1." default:"0"`
	LoadCPU   int      `help:"CPU that clients are pinned to; any with --load-cpu=-1." default:"1"`
	Nice      int      `help:"Nice value of servers and clients." default:"-20"`
}

// Validate is kong's hook: it refuses what can't be measured.
func (c *Command) Validate() error {
	if c.Rounds < 1 || c.Seconds < 1 {
		return errors.New("--rounds and --seconds have to be above 0")
	}
	return nil
}

// A Run is one client's run against one server.
type Run struct {
	Case     string  `json:"case"`
	Server   string  `json:"server"`
	Medium   string  `json:"medium"`
	Round    int     `json:"round"`
	IOPS     float64 `json:"iops"`
	CPU      float64 `json:"cpu_us"`       // of the server, microseconds an I/O
	Share    float64 `json:"server_share"` // of the server's CPU
	Client   float64 `json:"client_share"` // of the client's
	Switches float64 `json:"switches"`     // context switches of the server, an I/O
}

// Run measures, and saves what it has found. Cut short, it saves what there is and says
// so.
func (c *Command) Run(ctx context.Context) (err error) {
	if c.Short {
		c.Rounds, c.Seconds = 1, 1
	}
	if c.Nice, err = lab.RaiseOwnNice(c.Nice); err != nil {
		return err
	}
	b, err := newBench(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := record.New[Run, Result]("iscsi", os.Args[1:])
	r.Versions = versions(ctx, "tgtd", "qemu-img")
	bar := progress.New(c.Rounds*len(b.pairs()), "iscsi")
	measureErr := c.measure(ctx, b, &r.Rows, bar.Step)
	bar.Finish()
	if measureErr == nil {
		r.Summary.Calls, measureErr = b.countCalls(ctx)
	}
	if ctx.Err() != nil {
		r.Warn("interrupted: what came later is missing")
	}
	r.Summary.Figures = sum(r.Rows)
	for _, f := range r.Summary.Figures {
		if f.Client > 0.9 {
			r.Warn("%s, %s on %s: the client is at %.0f %% of its CPU and may be what limits the rate", f.Case, f.Server, f.Medium, 100*f.Client)
		}
	}
	r.Summary.print(os.Stdout)
	return errors.Join(measureErr, r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }))
}

// measure goes through all rounds. In each, servers take turns case by case, and each
// round begins with another one.
func (c *Command) measure(ctx context.Context, b *bench, rows *[]Run, step func(now string)) error {
	for round := range c.Rounds {
		for _, k := range cases {
			pairs := slices.DeleteFunc(b.pairs(), func(p pair) bool { return p.load.name != k.name })
			for i := range pairs {
				p := pairs[(i+round)%len(pairs)]
				run, err := b.run(ctx, p, k.count(c.Short))
				if err != nil {
					return fmt.Errorf("%s, %s on %s: %w", k.name, p.server.name(), p.disk.medium, err)
				}
				run.Round = round
				*rows = append(*rows, run)
				step(k.name)
			}
		}
	}
	return nil
}

// run has a client do its load, and takes the server's CPU clocks before and after.
func (b *bench) run(ctx context.Context, p pair, count int) (Run, error) {
	pids, err := lab.Session(p.server.pid())
	if err != nil {
		return Run{}, err
	}
	before, err := lab.Measure(pids)
	if err != nil {
		return Run{}, err
	}
	done, err := b.load(ctx, p, count)
	if err != nil {
		return Run{}, err
	}
	after, err := lab.Measure(pids)
	if err != nil {
		return Run{}, err
	}
	cpu := after.CPU - before.CPU
	return Run{
		Case: p.load.name, Server: p.server.name(), Medium: p.disk.medium,
		IOPS:     done.ios / done.took.Seconds(),
		CPU:      float64(cpu) / float64(time.Microsecond) / done.ios,
		Share:    cpu.Seconds() / after.At.Sub(before.At).Seconds(),
		Client:   done.cpu.Seconds() / after.At.Sub(before.At).Seconds(),
		Switches: float64(after.Switches-before.Switches) / done.ios,
	}, nil
}
