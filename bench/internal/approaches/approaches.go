// Package approaches measures the paper's three ways to serve many namespaces: the same
// service built as a process for each, as a thread for each, and on nsreactor.
//
// Each cell, which is a number of namespaces, has two parts. First each server lives
// alone a few times (alone.go): that is where start-up, memory, threads and the time to
// add a namespace come from. Then all of them are up at once and windows of load go
// round between them (trial.Host.Contest), which is what rates, CPU time and latencies
// are compared by.
package approaches

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Command is the command line.
type Command struct {
	trial.Placement
	Out        string   `help:"Folder to write to." default:"results" type:"path"`
	Short      bool     `help:"A short form that checks that all works: two namespaces, windows of a tenth of a second."`
	Namespaces []int    `help:"Numbers of namespaces to measure." default:"1,8,64,256,512"`
	Conns      int      `help:"Connections in each." default:"4"`
	Size       int      `help:"Bytes of a message." default:"64"`
	Servers    []string `help:"Servers to measure: forked, threaded, threaded-locked, nsr-namespace, nsr-any, nsr-always. nsr-any is added. All but threaded-locked if empty."`
	Lives      int      `help:"How often each server is started alone in a cell." default:"3"`
	Adds       int      `help:"Namespaces added to it each time." default:"5"`
	Rounds     int      `help:"How often each server is measured beside the others in a cell." default:"9"`
	Seconds    float64  `help:"Least length of a measured window; with thousands of connections it is longer." default:"0.3"`
}

// Validate is kong's hook: it refuses what can't be measured.
func (c *Command) Validate() error {
	if c.Conns < 1 || c.Lives < 1 || c.Adds < 1 || c.Rounds < 1 || c.Seconds <= 0 {
		return errors.New("--conns, --lives, --adds, --rounds and --seconds have to be above 0")
	}
	if c.Size < core.MinSize {
		return fmt.Errorf("--size: a request that names a volume has at least %d bytes", core.MinSize)
	}
	if len(c.Namespaces) == 0 || slices.Min(c.Namespaces) < 1 {
		return errors.New("--namespaces have to be above 0")
	}
	_, err := choose(c.Servers)
	return err
}

// shorten makes a run that only shows that everything works.
func (c *Command) shorten() {
	c.Namespaces, c.Conns = []int{2}, 2
	c.Lives, c.Adds, c.Rounds, c.Seconds = 1, 1, 2, 0.1
}

// A run is a Command at work.
type run struct {
	*Command
	host    *trial.Host
	servers []trial.Server
	record  *record.Record[Row, Result]
	bar     *progress.Bar
}

// Run measures, and saves what it has found. Cut short, it saves what there is and says
// so.
func (c *Command) Run(ctx context.Context) error {
	if c.Short {
		c.shorten()
	}
	servers, err := choose(c.Servers)
	if err != nil {
		return err
	}
	r := &run{Command: c, servers: servers, record: record.New[Row, Result]("approaches", os.Args[1:])}
	if r.host, err = trial.NewHost(ctx, c.Placement, servers, slices.Max(c.Namespaces)+c.Adds); err != nil {
		return err
	}
	defer func() { _ = r.host.Close() }()
	if err = r.measure(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		r.record.Warn("interrupted: what came later is missing")
	}
	if len(r.record.Rows) == 0 {
		return errors.Join(err, errors.New("nothing was measured"))
	}
	r.record.Summary.print(os.Stdout)
	return errors.Join(err, r.record.Finish(c.Out, r.record.Summary.draw(r.record.Machine)))
}

// measure goes from cell to cell.
func (r *run) measure(ctx context.Context) error {
	r.bar = progress.New(len(r.Namespaces)*len(r.servers)*(r.Lives+r.Rounds), "approaches")
	defer r.bar.Finish()
	for _, namespaces := range r.Namespaces {
		c := trial.Cell{Shape: trial.Shape{Namespaces: namespaces, Conns: r.Conns}, Size: r.Size, Depth: 1, Kind: trial.Table}
		rows, err := r.cell(ctx, c)
		r.check(rows)
		r.record.Rows = append(r.record.Rows, rows...)
		r.record.Summary.Cells = append(r.record.Summary.Cells, summarize(r.servers, rows)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// cell measures one number of namespaces. An error is the context's.
func (r *run) cell(ctx context.Context, c trial.Cell) ([]Row, error) {
	rows, err := r.alone(ctx, c)
	if err != nil {
		return rows, err
	}
	together, err := r.together(ctx, c)
	return append(rows, together...), err
}

// span is one window. Where all connections being answered once takes long, as it does
// in hundreds of processes, it has to be longer than that.
func (r *run) span(c trial.Cell) trial.Span {
	conns := float64(c.Shape.Namespaces * c.Shape.Conns)
	return trial.Span{Seconds: max(r.Seconds, conns/slowest), Warmup: 0.05 + conns/slowest}
}

// slowest is a rate, in messages a second, that every approach reaches on the machines
// this was tried on.
const slowest = 2000

// together has windows of load go round between the servers.
func (r *run) together(ctx context.Context, c trial.Cell) ([]Row, error) {
	results, err := r.host.Contest(ctx, r.servers, c, trial.Plan{Rounds: r.Rounds, Span: r.span(c)}, r.bar.Step)
	for _, failure := range results.Failed {
		r.record.Warn("not measured: %s", failure)
	}
	for _, doubt := range trial.Doubts(r.servers, trial.Summarize(r.servers, results)) {
		r.record.Warn("%s", doubt)
	}
	var rows []Row
	for _, w := range results.Windows {
		row := Row{Window: w}
		if i := slices.IndexFunc(results.Lives, func(l trial.Life) bool { return l.Server == w.Server }); i >= 0 {
			row.Life = lifeOf(results.Lives[i], 0)
		}
		rows = append(rows, row)
	}
	return rows, err
}

// check warns of servers whose table does not say what their clients were told.
func (r *run) check(rows []Row) {
	for _, row := range rows {
		if l := row.Life; l.Updates != l.Answered {
			r.record.Warn("%s, %v: the table counts %d updates, but %d requests were answered", row.Server, row.Shape, l.Updates, l.Answered)
		}
	}
}
