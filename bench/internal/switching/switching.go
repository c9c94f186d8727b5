package switching

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
)

// Command is the command line.
type Command struct {
	Max     int    `help:"Most namespaces; points are the powers of two up to it." default:"4096"`
	Threads []int  `help:"Numbers of threads that switch at once; 1, 2, 4 … up to the CPUs if not given."`
	Rounds  int    `help:"Visits of each point." default:"30"`
	Calls   int    `help:"Calls of a block." default:"512"`
	Nice    int    `help:"Nice value of the threads; -20 takes the CPUs from other work, 0 does not." default:"-20"`
	Out     string `help:"Folder for the results." default:"results" type:"path"`
	Short   bool   `help:"A short form that checks that all works: 16 namespaces, 2 rounds."`
}

// Validate is kong's hook.
func (c *Command) Validate() error {
	if c.Max < 1 || c.Rounds < 1 || c.Calls < 1 || c.Calls > 1<<20 {
		return errors.New("--max and --rounds are at least 1, --calls from 1 to 1048576")
	}
	if c.Nice < -20 || c.Nice > 19 {
		return errors.New("--nice goes from -20 to 19")
	}
	for _, n := range c.Threads {
		if cpus := runtime.NumCPU(); n < 1 || n > cpus {
			return fmt.Errorf("--threads: each has a CPU of its own, so from 1 to %d here, not %d", cpus, n)
		}
	}
	return nil
}

// shorten makes the command the short form of itself.
func (c *Command) shorten() {
	c.Max, c.Rounds, c.Calls = min(c.Max, 16), min(c.Rounds, 2), min(c.Calls, 64)
}

// Run measures, prints and saves.
func (c *Command) Run(ctx context.Context) error {
	if c.Short {
		c.shorten()
	}
	threads := c.Threads
	if len(threads) == 0 {
		threads = powersOfTwo(runtime.NumCPU())
	}
	if err := c.prepare(); err != nil {
		return err
	}
	r := record.New[Row, Summary]("switch", os.Args[1:])
	spaces, err := makeSpaces(ctx, c.Max)
	if err != nil {
		return err
	}
	defer spaces.Close()
	visits := plan(powersOfTwo(c.Max), threads, c.Rounds)
	found := newFindings()
	if err := c.measure(ctx, spaces, visits, found); err != nil {
		return err
	}
	r.Rows, r.Summary = found.rows(), found.summary()
	r.Warnings = doubts(r.Summary)
	printTable(os.Stdout, r)
	return r.Finish(c.Out, func(base string) ([]string, error) { return draw(base, r) })
}

// prepare asks the machine for what a run needs.
func (c *Command) prepare() error {
	limit, err := lab.RaiseFileLimit()
	if err != nil {
		return err
	}
	if need := c.Max + 2*chunk + 64; need > limit {
		return fmt.Errorf("--max: %d namespaces take %d descriptors, and the limit is %d", c.Max, need, limit)
	}
	_, err = lab.RaiseOwnNice(c.Nice)
	return err
}

// measure makes all visits. What an interrupted run has found is not kept: it would look
// like a result.
func (c *Command) measure(ctx context.Context, spaces *spaces, visits []visit, found *findings) error {
	bar := progress.New(len(visits), "switching")
	defer bar.Finish()
	for i, v := range visits {
		if ctx.Err() != nil {
			return fmt.Errorf("%w after %d of %d visits; nothing is saved", ctx.Err(), i, len(visits))
		}
		workers, err := v.run(spaces, c.Calls)
		if err != nil {
			return err
		}
		found.add(v, workers)
		bar.Step(fmt.Sprintf("%d namespaces, %s, %d threads", v.namespaces, v.order, v.threads))
	}
	return nil
}

// powersOfTwo lists 1, 2, 4 … up to most, and most itself.
func powersOfTwo(most int) []int {
	var all []int
	for n := 1; n < most; n *= 2 {
		all = append(all, n)
	}
	return append(all, most)
}

// A visit is one look at one point.
type visit struct {
	namespaces, threads int
	order               Order
	round               int
}

// plan lists all visits. A round visits each point once, and each round begins with
// another one; where two orders are the same, as they are for one namespace and for
// two, both are visited all the same.
func plan(namespaces, threads []int, rounds int) []visit {
	var round []visit
	for _, t := range threads {
		for _, order := range orders {
			for _, n := range namespaces {
				round = append(round, visit{namespaces: n, threads: t, order: order})
			}
		}
	}
	var all []visit
	for r := range rounds {
		first := r * 7 % len(round) // 7: neighbours in a round are neighbours in size
		for _, v := range slices.Concat(round[first:], round[:first]) {
			v.round = r
			all = append(all, v)
		}
	}
	return all
}
