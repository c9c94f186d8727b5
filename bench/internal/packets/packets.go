// Package packets measures datagrams: an engine's packet handler, which gets them in batches,
// against loops around package net.
package packets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// Command is the command line. More datagrams outstanding than some 200 don't fit into a socket's
// receive buffer, and those that are lost make everyone wait.
type Command struct {
	trial.Placement
	Out     string  `help:"Folder to write to." default:"results" type:"path"`
	Short   bool    `help:"A short form that checks that all works."`
	Sockets int     `help:"Client sockets." default:"8"`
	Bursts  []int   `help:"Datagrams outstanding on each." default:"1,16"`
	Size    int     `help:"Bytes of a datagram." default:"64"`
	Rounds  int     `help:"How often each server is measured." default:"15"`
	Seconds float64 `help:"Length of a measured window." default:"0.3"`
}

// target is how many packets a CPU second an engine is to serve, in those of Go's loop.
const target = 1.5

// names are the servers, the one that the others are compared to first.
var names = []string{"gonet", "gonet-netip", "nsr-any", "nsr-namespace"}

// Row is a window of load on one server.
type Row struct {
	Server  string  `json:"server"`
	Burst   int     `json:"burst"`
	Round   int     `json:"round"`
	Packets uint64  `json:"packets"`
	Lost    uint64  `json:"lost"`
	Rate    float64 `json:"packets_per_second"`
	CPU     float64 `json:"cpu_us_per_packet"`
}

// Summary is what the windows of a server come to. Ratio is of packets a CPU second, to the
// first server in the same round.
type Summary struct {
	Server string         `json:"server"`
	Burst  int            `json:"burst"`
	Rate   float64        `json:"packets_per_second"`
	CPU    float64        `json:"cpu_us_per_packet"`
	Ratio  stats.Estimate `json:"per_cpu_ratio"`
}

// Validate is kong's hook.
func (c *Command) Validate() error {
	if c.Sockets < 1 || c.Rounds < 1 || c.Seconds <= 0 || c.Size < 8 || c.Size > 65507 {
		return errors.New("--sockets and --rounds are at least 1, --seconds above 0, --size from 8 to 65507")
	}
	for _, n := range c.Bursts {
		if n < 1 || n > 1024 {
			return errors.New("--bursts goes from 1 to 1024")
		}
	}
	return c.Placement.Validate()
}

// Run measures, prints and saves.
func (c *Command) Run(ctx context.Context) error {
	if c.Short {
		c.Rounds, c.Seconds, c.Bursts = 1, 0.1, []int{4}
	}
	if !c.NoBuild {
		if err := trial.Build(ctx, c.Programs, []trial.Server{{Name: "udpecho", Program: "udpecho"}}); err != nil {
			return err
		}
	}
	nice, err := lab.RaiseOwnNice(c.Nice)
	if err != nil {
		return err
	}
	r := record.New[Row, []Summary]("packets", os.Args[1:])
	for _, burst := range c.Bursts {
		rows, e := c.measure(ctx, burst, nice)
		r.Rows = append(r.Rows, rows...)
		r.Summary = append(r.Summary, summarize(rows, burst)...)
		if err = e; err != nil {
			break
		}
	}
	for _, row := range r.Rows {
		if row.Lost > 0 {
			r.Warn("%s, bursts of %d: datagrams were lost", row.Server, row.Burst)
		}
	}
	printAll(os.Stdout, r.Summary)
	return errors.Join(err, r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }))
}

// measure has all servers up at once and goes round between them.
func (c *Command) measure(ctx context.Context, burst, nice int) (rows []Row, err error) {
	var contest []*server
	defer func() {
		for _, s := range contest {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, name := range names {
		s, err := c.start(ctx, name, burst, nice)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		contest = append(contest, s)
	}
	bar := progress.New(len(contest)*c.Rounds, fmt.Sprintf("bursts of %d", burst))
	defer bar.Finish()
	for round := range c.Rounds {
		for i := range contest {
			s := contest[(i+round)%len(contest)]
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
			row, err := s.measure(c.LoadCPU, time.Duration(c.Seconds*float64(time.Second)))
			if err != nil {
				return rows, fmt.Errorf("%s: %w", s.name, err)
			}
			row.Burst, row.Round = burst, round
			rows = append(rows, row)
			bar.Step(s.name)
		}
	}
	return rows, nil
}

// server is one that is up, with a load of its own.
type server struct {
	name string
	cmd  *exec.Cmd
	end  io.Closer // its input
	load *load
}

func (c *Command) start(ctx context.Context, name string, burst, nice int) (*server, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.Programs, "udpecho"), "-server", name)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if err := lab.Start(cmd, c.ServerCPU, nice); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	s := &server{name: name, cmd: cmd, end: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	port, err := strconv.Atoi(strings.TrimSpace(line))
	if err == nil {
		s.load, err = newLoad(port, c.Sockets, burst, c.Size)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) stop() error {
	var err error
	if s.load != nil {
		err = s.load.close()
	}
	return errors.Join(err, s.end.Close(), s.cmd.Wait())
}

// measure is a window of load.
func (s *server) measure(cpu int, span time.Duration) (Row, error) {
	if err := s.load.run(cpu, span/5); err != nil { // its caches are the others' still
		return Row{}, err
	}
	pids := []int{s.cmd.Process.Pid}
	before, err := lab.Measure(pids)
	if err != nil {
		return Row{}, err
	}
	err = s.load.run(cpu, span)
	after, e := lab.Measure(pids)
	if err := errors.Join(err, e); err != nil {
		return Row{}, err
	}
	n := float64(s.load.received)
	return Row{
		Server: s.name, Packets: s.load.received, Lost: s.load.lost, Rate: n / after.At.Sub(before.At).Seconds(),
		CPU: float64((after.CPU - before.CPU).Nanoseconds()) / 1e3 / n,
	}, nil
}

func summarize(rows []Row, burst int) []Summary {
	cpu := func(r Row) float64 { return r.CPU }
	of := func(name string) (mine []Row) {
		for _, r := range rows {
			if r.Server == name {
				mine = append(mine, r)
			}
		}
		return mine
	}
	round := func(r Row) int { return r.Round }
	floor := stats.ByRound(of(names[0]), round, cpu)
	var all []Summary
	for _, name := range names {
		mine := of(name)
		all = append(all, Summary{
			Server: name, Burst: burst, CPU: stats.Median(stats.Column(mine, cpu)),
			Rate:  stats.Median(stats.Column(mine, func(r Row) float64 { return r.Rate })),
			Ratio: stats.Bootstrap(stats.Ratios(floor, stats.ByRound(mine, round, cpu))),
		})
	}
	return all
}

func printAll(w io.Writer, all []Summary) {
	fmt.Fprintf(w, "\n%-14s %5s %12s %14s   packets a CPU second, to %s's (target: %.1f)\n", "server", "burst", "packets/s", "CPU µs/packet", names[0], target)
	for _, s := range all {
		fmt.Fprintf(w, "%-14s %5d %12.0f %14.2f   %.2f [%.2f, %.2f]\n", s.Server, s.Burst, s.Rate, s.CPU, s.Ratio.Median, s.Ratio.Low, s.Ratio.High)
	}
}
