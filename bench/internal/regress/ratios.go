package regress

import (
	"context"
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/switching"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// servers are the engine and its floors, all in one contest.
var servers = []trial.Server{
	{Name: "c-never", Program: "echo", Args: []string{"-m", "never"}, Floor: "c-never"},
	{Name: "c-group", Program: "echo", Args: []string{"-m", "group"}, Floor: "c-never"},
	{Name: "nsr-any", Program: "nsr", Args: []string{"-mode", "any"}, Floor: "c-never"},
	{Name: "nsr-namespace", Program: "nsr", Args: []string{"-mode", "namespace"}, Floor: "c-group"},
}

// widest is how many namespaces the paper goes to.
const widest = 512

// switchRatios are nsctx's, against bare setns(2) and against itself with one namespace.
func (c *Command) switchRatios(ctx context.Context) ([]Metric, error) {
	summary, err := switching.Measure(ctx, []int{1, widest}, c.Rounds, 512)
	if err != nil {
		return nil, err
	}
	var all []Metric
	for _, p := range summary.Points {
		all = append(all, Metric{Name: fmt.Sprintf("switch at %d namespaces, to bare setns", p.Namespaces), Value: p.MissRatio.Median})
		if p.Namespaces == widest {
			all = append(all, Metric{Name: fmt.Sprintf("switch at %d namespaces, to one", widest), Value: p.MissFlat.Median})
			all = append(all, Metric{Name: "hit, to an empty call", Value: p.HitRatio.Median})
		}
	}
	return all, nil
}

// costRatios are CPU a message, of the engine to the C loop that switches as it does.
func (c *Command) costRatios(ctx context.Context, host *trial.Host, bar *progress.Bar) ([]Metric, error) {
	cells := []trial.Cell{
		{Shape: trial.Shape{Namespaces: 64, Conns: 4}, Size: 64, Depth: 1, Kind: trial.Echo},
		{Shape: trial.Shape{Namespaces: 64, Conns: 4}, Size: 4096, Depth: 16, Kind: trial.Echo},
		{Shape: trial.Shape{Namespaces: widest, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Echo},
	}
	var all []Metric
	for _, cell := range cells {
		plan := trial.Plan{Rounds: c.Rounds, Span: trial.Span{Seconds: c.Seconds, Warmup: 0.06}}
		results, err := host.Contest(ctx, servers, cell, plan, bar.Step)
		if err != nil {
			return all, err
		}
		if len(results.Failed) > 0 {
			return all, errors.New(results.Failed[0])
		}
		for _, s := range trial.Summarize(servers, results) {
			if s.Floor == s.Server || s.Server == "c-group" {
				continue
			}
			all = append(all, Metric{Name: fmt.Sprintf("%s, %v: CPU a message, to %s", s.Server, cell, s.Floor), Value: s.CPURatio.Median})
			if s.Server == "nsr-namespace" && cell.Depth == 1 { // at more, batches depend on the load's pace
				all = append(all, Metric{Name: fmt.Sprintf("%s, %v: switches an event", s.Server, cell), Value: s.Switches})
			}
		}
	}
	return all, nil
}

// widthRatios compare the same number of connections in 512 namespaces and in one: how
// many events a second, of the same server.
func (c *Command) widthRatios(ctx context.Context, host *trial.Host, bar *progress.Bar) ([]Metric, error) {
	var all []Metric
	for _, s := range servers[2:] {
		value, err := c.width(ctx, host, s, bar)
		if err != nil {
			return all, err
		}
		all = append(all, Metric{Name: fmt.Sprintf("%s: events a second, %d namespaces to one", s.Name, widest), Value: value, More: true})
	}
	return all, nil
}

func (c *Command) width(ctx context.Context, host *trial.Host, s trial.Server, bar *progress.Bar) (value float64, err error) {
	wide := trial.Cell{Shape: trial.Shape{Namespaces: widest, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Echo}
	narrow := wide
	narrow.Shape = trial.Shape{Namespaces: 1, Conns: widest}
	var rates [2][]float64
	var pair [2]*trial.Contestant
	for i, cell := range []trial.Cell{wide, narrow} {
		if pair[i], err = host.Enter(ctx, s, cell, i); err != nil {
			return 0, err
		}
		defer func() {
			_, leaveErr := pair[i].Leave()
			err = errors.Join(err, leaveErr)
		}()
	}
	for round := range c.Rounds {
		for turn := range 2 {
			i := (round + turn) % 2
			w, err := pair[i].Measure(ctx, trial.Span{Seconds: c.Seconds, Warmup: 0.06})
			if err != nil {
				return 0, err
			}
			rates[i] = append(rates[i], w.Rate)
			bar.Step(fmt.Sprintf("%s, %v", s.Name, w.Shape))
		}
	}
	return stats.Median(stats.Ratios(rates[0], rates[1])), nil
}
