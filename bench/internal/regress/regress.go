// Package regress is the regression test that the paper asked for: ratios of things that
// were measured side by side, against ratios that were kept.
package regress

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Command is the command line.
type Command struct {
	trial.Placement
	Out       string  `help:"Folder to write to." default:"results" type:"path"`
	Short     bool    `help:"Only what does not depend on time: events, switches, allocations and system calls a message."`
	Baseline  string  `help:"File of what is expected." default:"baseline.json" type:"path"`
	Calibrate int     `help:"Measure so many times, and keep the median and the spread as the baseline." placeholder:"RUNS"`
	Rounds    int     `help:"Windows of each server in a cell." default:"15"`
	Seconds   float64 `help:"Length of a window." default:"0.15"`
}

// Validate is kong's hook.
func (c *Command) Validate() error {
	if c.Rounds < 1 || c.Seconds <= 0 || c.Calibrate < 0 {
		return errors.New("--rounds and --seconds have to be above 0, --calibrate at least 0")
	}
	if c.Calibrate > 0 && c.Short {
		return errors.New("--calibrate wants everything: leave --short away")
	}
	return nil
}

// Result is what a run comes to.
type Result struct {
	BaselineMachine record.Machine `json:"baseline_machine"`
	BaselineRuns    int            `json:"baseline_runs"`
	Lines           []Line         `json:"lines"`
}

// ErrRegressed says that a figure is worse than the baseline allows.
var ErrRegressed = errors.New("figures are worse than the baseline allows")

// Run measures and compares, or measures and keeps.
func (c *Command) Run(ctx context.Context) error {
	baseline, err := readBaseline(c.Baseline)
	if err != nil && c.Calibrate == 0 {
		return err
	}
	host, err := trial.NewHost(ctx, c.Placement, servers, c.namespaces())
	if err != nil {
		return err
	}
	defer func() { _ = host.Close() }()
	if c.Calibrate > 0 {
		return c.calibrate(ctx, host)
	}
	r := record.New[Metric, Result]("regress", os.Args[1:])
	if r.Rows, err = c.measure(ctx, host); err != nil {
		return err
	}
	r.Summary = Result{baseline.Machine, baseline.Runs, compare(baseline, r.Rows, c.Short)}
	if baseline.Machine.CPU != r.Machine.CPU || baseline.Machine.Kernel != r.Machine.Kernel {
		r.Warn("the baseline is of another machine (%s, Linux %s): tolerances may not fit", baseline.Machine.CPU, baseline.Machine.Kernel)
	}
	printLines(os.Stdout, r.Summary.Lines)
	if err := r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }); err != nil {
		return err
	}
	if n := failures(r.Summary.Lines); n > 0 {
		return fmt.Errorf("%d of %d %w", n, len(r.Summary.Lines), ErrRegressed)
	}
	return nil
}

func (c *Command) namespaces() int {
	if c.Short {
		return structureNamespaces
	}
	return widest
}

// measure takes all figures once.
func (c *Command) measure(ctx context.Context, host *trial.Host) ([]Metric, error) {
	all, err := structure(ctx, host)
	if err != nil || c.Short {
		return all, err
	}
	bar := progress.New(c.Rounds*(3*len(servers)+2*2), "regress")
	defer bar.Finish()
	switches, err := c.switchRatios(ctx)
	if err != nil {
		return nil, err
	}
	costs, err := c.costRatios(ctx, host, bar)
	if err != nil {
		return nil, err
	}
	widths, err := c.widthRatios(ctx, host, bar)
	return append(append(append(all, switches...), costs...), widths...), err
}

// calibrate makes a baseline of several runs.
func (c *Command) calibrate(ctx context.Context, host *trial.Host) error {
	c.Rounds = max(c.Rounds/2, 1) // a baseline of runs that are noisier than a comparison is the safer one
	var runs [][]Metric
	for i := range c.Calibrate {
		metrics, err := c.measure(ctx, host)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		runs = append(runs, metrics)
		fmt.Fprintf(os.Stderr, "run %d of %d is done\n", i+1, c.Calibrate)
	}
	b := newBaseline(record.DescribeMachine(), runs)
	for _, e := range b.Expectations {
		fmt.Printf("%-70s %8.4g  worst %8.4g  tolerance %4.1f %%\n", e.Name, e.Value, e.Worst, e.Tolerance*100)
	}
	return b.write(c.Baseline)
}
