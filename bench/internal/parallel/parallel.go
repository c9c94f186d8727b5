package parallel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Command is the command line. Servers and load may use all CPUs; nsreactor pins its
// loops itself.
type Command struct {
	Loops    []int   `help:"Numbers of loops; 1 to the number of CPUs if not given."`
	Work     []int   `help:"Microseconds that a handler computes for a request." default:"0,10,100"`
	Queues   int     `help:"Queues of the device; 0: one a CPU."`
	Conns    int     `help:"Connections." default:"64"`
	Size     int     `help:"Bytes of a message." default:"64"`
	Rounds   int     `help:"Windows of each server." default:"7"`
	Seconds  float64 `help:"Length of a window." default:"1"`
	Warmup   float64 `help:"Seconds of load before each." default:"0.2"`
	Nice     int     `help:"Nice value of servers and load; -20 takes the CPUs from other work, 0 does not." default:"-20"`
	Port     int     `help:"First port to listen on." default:"7007"`
	Programs string  `help:"Folder to build in." default:"bin" type:"path"`
	Out      string  `help:"Folder for the results." default:"results" type:"path"`
	Short    bool    `help:"A short form that checks that all works: 8 connections, one round, 0 and 100 microseconds."`
}

// Validate is kong's hook.
func (c *Command) Validate() error {
	for _, n := range c.Loops {
		if cpus := runtime.NumCPU(); n < 1 || n > cpus {
			return fmt.Errorf("--loops: each has a CPU of its own, so from 1 to %d here, not %d", cpus, n)
		}
	}
	for _, micros := range c.Work {
		if micros < 0 || micros > 1_000_000 {
			return errors.New("--work goes from 0 to a second's 1000000 microseconds")
		}
	}
	if c.Queues < 0 || c.Queues > 4096 {
		return errors.New("--queues goes from 1 to 4096, or is 0")
	}
	if c.Conns < 1 || c.Rounds < 1 || c.Seconds <= 0 || c.Warmup < 0 || c.Size < 16 {
		return errors.New("--conns and --rounds are at least 1, --seconds above 0, --warmup not below, --size at least 16")
	}
	return c.placement().Validate()
}

func (c *Command) placement() trial.Placement {
	return trial.Placement{ServerCPU: -1, LoadCPU: -1, Nice: c.Nice, Port: c.Port, Programs: c.Programs}
}

// complete fills in what was not given, and makes the short form.
func (c *Command) complete() {
	if len(c.Loops) == 0 {
		for n := range runtime.NumCPU() {
			c.Loops = append(c.Loops, n+1)
		}
	}
	slices.Sort(c.Loops)
	if c.Queues == 0 {
		c.Queues = runtime.NumCPU()
	}
	if c.Short {
		c.Work, c.Conns, c.Rounds, c.Seconds, c.Warmup = []int{0, 100}, 8, 1, 0.2, 0.1
	}
}

// Run measures, prints and saves.
func (c *Command) Run(ctx context.Context) error {
	c.complete()
	r := record.New[Row, Summary]("parallel", os.Args[1:])
	host, err := trial.NewHost(ctx, c.placement(), servers(entries(c.Loops, 0, nil)), 1)
	if err != nil {
		return err
	}
	defer host.Close()
	away, err := lab.NewNamespaces(1)
	if err != nil {
		return err
	}
	defer away.Close()
	err = connect(host.Spaces.FD(0), away.FD(0), c.Queues)
	if errors.Is(err, errSteering) {
		r.Warn("%v", err)
	} else if err != nil {
		return err
	}
	host.Remote = &trial.Remote{Spaces: away, Address: serverAddress}
	if err := c.measure(ctx, host, r); err != nil {
		return fmt.Errorf("%w; nothing is saved", err)
	}
	printTable(os.Stdout, r.Summary)
	return r.Finish(c.Out, func(base string) ([]string, error) { return draw(base, r.Summary, r.Machine.String()) })
}

// measure holds a contest for each cost of a request.
func (c *Command) measure(ctx context.Context, host *trial.Host, r *record.Record[Row, Summary]) error {
	each := len(entries(c.Loops, 0, nil))
	bar := progress.New(len(c.Work)*each*c.Rounds, "parallel")
	defer bar.Finish()
	cell := trial.Cell{Shape: trial.Shape{Namespaces: 1, Conns: c.Conns}, Size: c.Size, Depth: 1, Kind: trial.Echo}
	plan := trial.Plan{Rounds: c.Rounds, Span: trial.Span{Seconds: c.Seconds, Warmup: c.Warmup}}
	sampling := samplingFlags(ctx, c.Programs)
	if len(sampling) == 0 {
		r.Warn("nsr does not look where messages came from: shares are not known")
	}
	for _, micros := range c.Work {
		field := entries(c.Loops, micros, sampling)
		results, err := host.Contest(ctx, servers(field), cell, plan, func(what string) {
			bar.Step(fmt.Sprintf("%d µs, %s", micros, what))
		})
		if err != nil {
			return err
		}
		for _, failure := range results.Failed {
			r.Warn("not measured: %d µs: %s", micros, failure)
		}
		r.Rows = append(r.Rows, rows(field, micros, results)...)
		r.Summary.Points = append(r.Summary.Points, points(field, micros, results)...)
		for _, doubt := range trial.Doubts(servers(field), trial.Summarize(servers(field), results)) {
			r.Warn("%d µs: %s", micros, doubt)
		}
	}
	return nil
}
