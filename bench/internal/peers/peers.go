// Package peers measures nsreactor against today's servers and a floor in C.
package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// The servers that everything else is compared to, and that the targets are about.
const (
	floor     = "c-never"
	anyMode   = "nsr-any"
	namespace = "nsr-namespace"
	goNet     = "gonet"
	gnet      = "gnet"
	gnetOne   = "gnet-enroll"
)

// servers are the candidates in the order of the report.
var servers = []trial.Server{
	{Name: floor, Program: "echo", Args: []string{"-m", "never"}, Floor: floor},
	{Name: "c-group", Program: "echo", Args: []string{"-m", "group"}, Floor: floor},
	{Name: anyMode, Program: "nsr", Args: []string{"-mode", "any"}, Floor: floor},
	{Name: namespace, Program: "nsr", Args: []string{"-mode", "namespace"}, Floor: floor},
	{Name: goNet, Program: "gonet", Floor: floor},
	{Name: gnet, Program: "gnetecho", Floor: floor},
	{Name: gnetOne, Program: "gnetecho", Args: []string{"-engines", "1"}, Floor: floor},
	{Name: "nbio", Program: "nbioecho", Floor: floor},
	{Name: "netpoll", Program: "netpollecho", Floor: floor},
}

// httpServers answer GET; HAProxy does nothing else that can be compared.
var httpServers = []trial.Server{
	{Name: "c-http", Program: "echo", Args: []string{"-m", "never", "-k", "http", "-s", "{size}"}, Floor: "c-http"},
	{Name: "nsr-http", Program: "nsr", Args: []string{"-mode", "any", "-kind", "http"}, Floor: "c-http"},
	{Name: "haproxy", Program: "haproxy", Args: []string{"-size", "{size}"}, Floor: "c-http"},
}

// The parts of a run.
const (
	partThroughput = "throughput"
	partHTTP       = "http"
	partLatency    = "latency"
	partAccept     = "accept"
	partIdle       = "idle"
)

// Command is the command line.
type Command struct {
	trial.Placement
	Out     string        `help:"Folder to write to." default:"results" type:"path"`
	Short   bool          `help:"A short form that checks that all works: one small shape, windows of a tenth of a second."`
	Parts   []string      `help:"What to measure: ${enum}." enum:"throughput,http,latency,accept,idle" default:"throughput,http,latency,accept,idle"`
	Shapes  []trial.Shape `help:"NAMESPACESxCONNECTIONS to measure." default:"1x64,64x4,512x1,512x20"`
	Sizes   []int         `help:"Bytes of a message." default:"1,64,4096,65536"`
	Depths  []int         `help:"Messages outstanding on a connection." default:"1,16"`
	Servers []string      `help:"Servers to measure; floors are added; all if empty."`
	Also    []string      `help:"Another server, as NAME=FLOOR=COMMAND; may be repeated." sep:"none"`
	Rounds  int           `help:"How often each server is measured in a cell." default:"9"`
	Seconds float64       `help:"Length of a measured window." default:"0.3"`
	Idle    []int         `help:"Idle connections to hold." default:"10000,100000"`
	IdleIn  int           `help:"Namespaces that they are spread over." default:"1000"`
}

// Validate is kong's hook: it refuses what can't be measured.
func (c *Command) Validate() error {
	if c.Rounds < 1 || c.Seconds <= 0 || c.IdleIn < 1 {
		return errors.New("--rounds, --seconds and --idle-in have to be above 0")
	}
	for _, n := range slices.Concat(c.Sizes, c.Depths, c.Idle) {
		if n < 1 {
			return fmt.Errorf("sizes, depths and numbers of connections have to be above 0, got %d", n)
		}
	}
	return nil
}

// Result is what a run comes to.
type Result struct {
	Cells  []Cell          `json:"cells"`
	HTTP   []trial.Summary `json:"http"`
	Open   []trial.Summary `json:"open"`
	Accept []trial.Summary `json:"accept"`
	Idle   []Holding       `json:"idle"`
}

// A run is a Command at work.
type run struct {
	*Command
	host    *trial.Host
	servers []trial.Server
	web     []trial.Server
	record  *record.Record[trial.Window, Result]
}

// Run measures, and saves what it has found. Cut short, it saves what there is and says so.
func (c *Command) Run(ctx context.Context) error {
	if c.Short {
		c.shorten()
	}
	r := &run{Command: c, record: record.New[trial.Window, Result]("peers", os.Args[1:])}
	if err := r.choose(); err != nil {
		return err
	}
	var err error
	if r.host, err = trial.NewHost(ctx, c.Placement, slices.Concat(r.servers, r.web), r.namespaces()); err != nil {
		return err
	}
	defer func() { _ = r.host.Close() }()
	r.record.Versions = versions(ctx)
	err = r.measure(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		r.record.Warn("interrupted: what came later is missing")
	}
	r.record.Summary.print(os.Stdout)
	return errors.Join(err, r.record.Finish(c.Out, r.record.Summary.draw(r.record.Machine)))
}

// shorten makes a run that only shows that everything works.
func (c *Command) shorten() {
	c.Shapes, c.Sizes, c.Depths = []trial.Shape{{Namespaces: 2, Conns: 2}}, []int{64}, []int{1}
	c.Rounds, c.Seconds, c.Idle, c.IdleIn = 2, 0.1, []int{20}, 2
}

// choose finds the servers that are asked for and there to be had.
func (r *run) choose() error {
	known := slices.Clone(servers)
	names := r.Servers
	for _, text := range r.Also {
		extra, err := trial.ParseExtra(text)
		if err != nil {
			return err
		}
		known = append(known, extra)
		if len(names) > 0 {
			names = append(names, extra.Name)
		}
	}
	var err error
	if r.servers, err = trial.Pick(known, names); err != nil {
		return err
	}
	if !r.wants(partHTTP) {
		return nil
	}
	r.web = slices.Clone(httpServers)
	if haproxyVersion(context.Background()) == "" {
		r.record.Warn("haproxy is not installed and was left out: make bench-peers installs it")
		r.web = slices.DeleteFunc(r.web, func(s trial.Server) bool { return s.Name == "haproxy" })
	}
	return nil
}

func (r *run) wants(part string) bool { return slices.Contains(r.Parts, part) }

// namespaces is how many the widest shape needs.
func (r *run) namespaces() int {
	most := trial.MostNamespaces(trial.Cells(r.Shapes, []int{1}, []int{1}))
	if r.wants(partIdle) {
		most = max(most, r.IdleIn)
	}
	return most
}

// measure does part after part.
func (r *run) measure(ctx context.Context) error {
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{partThroughput, r.throughput},
		{partHTTP, r.http},
		{partLatency, r.latency},
		{partAccept, r.accept},
		{partIdle, r.idle},
	} {
		if !r.wants(part.name) {
			continue
		}
		if err := part.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// contest measures one cell and keeps what it finds.
func (r *run) contest(ctx context.Context, field []trial.Server, c trial.Cell, plan trial.Plan, bar *progress.Bar) ([]trial.Summary, trial.Results, error) {
	results, err := r.host.Contest(ctx, field, c, plan, bar.Step)
	for _, failure := range results.Failed {
		r.record.Warn("not measured: %s", failure)
	}
	r.record.Rows = append(r.record.Rows, results.Windows...)
	summaries := trial.Summarize(field, results)
	for _, doubt := range trial.Doubts(field, summaries) {
		if plan.Span.Rate == 0 || !strings.Contains(doubt, "noisy") { // a rate that is given leaves CPUs idle
			r.record.Warn("%s", doubt)
		}
	}
	return summaries, results, err
}
