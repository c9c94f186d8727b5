// Package toolkit measures what a protocol author builds with against what it stands
// in for: each part has servers side by side that do the same in two ways.
package toolkit

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Command is the command line.
type Command struct {
	trial.Placement
	Out     string   `help:"Folder to write to." default:"results" type:"path"`
	Short   bool     `help:"A short form that checks that all works: one small shape, windows of a tenth of a second."`
	Parts   []string `help:"What to measure: ${enum}." enum:"bridge,bridge-accept,tls-up,tls-down,tls-echo,tls-many" default:"bridge,bridge-accept,tls-up,tls-down,tls-echo,tls-many"`
	Rounds  int      `help:"How often each server is measured in a cell." default:"15"`
	Seconds float64  `help:"Length of a measured window." default:"0.3"`
}

// Validate is kong's hook: it refuses what can't be measured.
func (c *Command) Validate() error {
	if c.Rounds < 1 || c.Seconds <= 0 {
		return errors.New("--rounds and --seconds have to be above 0")
	}
	return nil
}

// A part is servers that are compared in some cells.
type part struct {
	name, title string
	servers     []trial.Server
	cells       []trial.Cell
	target      target
}

// A target is how far from its floor a server may be; the zero one is none.
type target struct {
	what string
	cpu  float64 // CPU a message at most, as a ratio
	rate float64 // messages a second at least, as a ratio
	pss  float64 // memory at most, as a ratio; 0 is no target
}

// parts are all there are, in their order.
var parts = []part{bridge, bridgeAccept, tlsUp, tlsDown, tlsEcho, tlsMany}

// Result is what a run comes to.
type Result struct {
	Parts []Figures `json:"parts"`
}

// Figures are those of a part.
type Figures struct {
	Part      string          `json:"part"`
	Summaries []trial.Summary `json:"summaries"`
}

// Run measures, and saves what it has found. Cut short, it saves what there is and says
// so.
func (c *Command) Run(ctx context.Context) error {
	chosen := c.choose()
	var servers []trial.Server
	namespaces := 0
	for _, p := range chosen {
		servers = append(servers, p.servers...)
		namespaces = max(namespaces, trial.MostNamespaces(p.cells))
	}
	host, err := trial.NewHost(ctx, c.Placement, servers, namespaces)
	if err != nil {
		return err
	}
	defer func() { _ = host.Close() }()
	r := record.New[trial.Window, Result]("toolkit", os.Args[1:])
	for _, p := range chosen {
		figures, e := c.measure(ctx, host, p, r)
		r.Summary.Parts = append(r.Summary.Parts, figures)
		if err = e; err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		r.Warn("interrupted: what came later is missing")
	}
	r.Summary.print(os.Stdout)
	return errors.Join(err, r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }))
}

// choose are the parts that are asked for, and in short what shows that they work.
func (c *Command) choose() []part {
	var chosen []part
	for _, p := range parts {
		if !slices.Contains(c.Parts, p.name) {
			continue
		}
		if c.Short {
			p.cells = slices.Clone(p.cells[:1])
			p.cells[0].Shape = trial.Shape{Namespaces: 2, Conns: 2}
		}
		chosen = append(chosen, p)
	}
	if c.Short {
		c.Rounds, c.Seconds = 2, 0.1
	}
	return chosen
}

// measure goes from cell to cell of a part. An error is the context's.
func (c *Command) measure(ctx context.Context, host *trial.Host, p part, r *record.Record[trial.Window, Result]) (Figures, error) {
	figures := Figures{Part: p.name}
	bar := progress.New(len(p.cells)*len(p.servers)*c.Rounds, p.name)
	defer bar.Finish()
	for _, cell := range p.cells {
		plan := trial.Plan{Rounds: c.Rounds, Span: trial.Span{Seconds: c.Seconds, Warmup: 0.05}}
		results, err := host.Contest(ctx, p.servers, cell, plan, bar.Step)
		for _, failure := range results.Failed {
			r.Warn("not measured: %s", failure)
		}
		summaries := trial.Summarize(p.servers, results)
		for _, doubt := range trial.Doubts(p.servers, summaries) {
			r.Warn("%s", doubt)
		}
		r.Rows = append(r.Rows, results.Windows...)
		figures.Summaries = append(figures.Summaries, summaries...)
		if err != nil {
			return figures, err
		}
	}
	return figures, nil
}
