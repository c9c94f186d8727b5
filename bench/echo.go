package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// options is the command line of "echo".
type options struct {
	rounds             int
	seconds, warmup    float64
	cells              []cell
	servers            []server
	out, programs      string
	port               int
	serverCPU, loadCPU int
	nice               int
}

// runEcho is the command "echo": builds, makes namespaces, measures, reports.
func runEcho(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.servers, err = build(ctx, o.programs, o.servers); err != nil {
		return err
	}
	if err := serve.RaiseFileLimit(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nsreactor-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	spaces, err := newNamespaces(o.mostNamespaces())
	if err != nil {
		return err
	}
	defer spaces.close()

	r := &report{Machine: describeMachine(), Command: strings.Join(args, " "), Seconds: o.seconds, Warmup: o.warmup}
	fmt.Printf("%+v\n", r.Machine)
	measureErr := o.measureAll(ctx, spaces, dir, r)
	if len(r.Results) == 0 {
		return measureErr
	}
	name, err := r.save(o.out)
	fmt.Printf("\nwritten: %s.json and .csv\n", name)
	return errors.Join(measureErr, err)
}

// measureAll measures cell by cell. What is done before an error stays in the report.
func (o *options) measureAll(ctx context.Context, spaces *namespaces, dir string, r *report) error {
	for _, c := range o.cells {
		trials, err := o.newRunner(spaces, dir, c.namespaces)
		if err != nil {
			return err
		}
		results := o.measureCell(ctx, trials, c)
		summaries := summarize(o.servers, c, results)
		printCell(os.Stdout, o.servers, c, summaries)
		r.Results = append(r.Results, results...)
		r.Summaries = append(r.Summaries, summaries...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// measureCell runs all servers once a round, in rotating order. A trial that fails is
// reported and left out.
func (o *options) measureCell(ctx context.Context, trials *runner, c cell) []result {
	var results []result
	for round := range o.rounds {
		for _, s := range rotate(o.servers, round) {
			if ctx.Err() != nil {
				return results
			}
			out, err := trials.trial(ctx, s, c, round)
			if err != nil {
				log.Printf("%v, round %d, %s: %v", c, round, s.name, err)
				continue
			}
			results = append(results, out)
		}
	}
	return results
}

// mostNamespaces is how many namespaces the widest shape needs.
func (o *options) mostNamespaces() int {
	most := 0
	for _, c := range o.cells {
		most = max(most, c.namespaces)
	}
	return most
}

// parseOptions reads the command line of "echo".
func parseOptions(args []string) (*options, error) {
	o := &options{}
	known := slices.Clone(allServers)
	var extra []string
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each server is measured in a cell")
	flags.Float64Var(&o.seconds, "seconds", 3, "length of the measured window")
	flags.Float64Var(&o.warmup, "warmup", 0.5, "seconds of load before the window")
	shapes := flags.String("shapes", "1x64,64x4,512x1,512x20", "NAMESPACESxCONNECTIONS to measure, comma-separated")
	sizes := flags.String("sizes", "64", "bytes of a message, comma-separated, 8 at least")
	depths := flags.String("depth", "1", "messages outstanding on a connection, comma-separated")
	names := flags.String("servers", "", "servers to measure, comma-separated; floors are added; all if empty")
	flags.Func("also", "another server, as NAME=FLOOR=COMMAND; may be repeated", func(text string) error {
		s, err := parseExtra(text)
		known, extra = append(known, s), append(extra, s.name)
		return err
	})
	flags.StringVar(&o.out, "out", "results", "folder to write to")
	flags.StringVar(&o.programs, "programs", "bin", "folder to build in")
	flags.IntVar(&o.port, "port", 7007, "port to listen on in each namespace")
	flags.IntVar(&o.serverCPU, "server-cpu", 0, "CPU that the server is pinned to; -1 for any")
	flags.IntVar(&o.loadCPU, "load-cpu", 1, "CPU that the load is pinned to; -1 for any")
	flags.IntVar(&o.nice, "nice", 0, "nice value of server and load; -20 takes the CPUs from all other work on the machine")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if err := errors.Join(o.parseCells(*shapes, *sizes, *depths), o.check()); err != nil {
		return nil, err
	}
	chosen := strings.FieldsFunc(*names, func(r rune) bool { return r == ',' })
	if len(chosen) > 0 {
		chosen = append(chosen, extra...)
	}
	var err error
	o.servers, err = pickServers(known, chosen)
	return o, err
}

// parseCells fills in the cells.
func (o *options) parseCells(shapes, sizes, depths string) error {
	s, err1 := parseList(shapes, parseShape)
	bytes, err2 := parseList(sizes, parsePositive)
	d, err3 := parseList(depths, parsePositive)
	o.cells = cells(s, bytes, d)
	return errors.Join(err1, err2, err3)
}

// check refuses options that cannot work, and makes paths absolute.
func (o *options) check() (err error) {
	if o.rounds < 1 || o.seconds <= 0 || o.warmup < 0 {
		return errors.New("-rounds and -seconds have to be above 0, -warmup at least 0")
	}
	if cpus := runtime.NumCPU(); o.serverCPU >= cpus || o.loadCPU >= cpus {
		return fmt.Errorf("there are %d CPUs: choose with -server-cpu and -load-cpu", cpus)
	}
	o.programs, err = filepath.Abs(o.programs)
	return err
}
