package iscsi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
)

// Tenants is the command line of what many tenants cost who all have the same address.
type Tenants struct {
	Out       string  `help:"Folder to write to." default:"results" type:"path"`
	Short     bool    `help:"A short form that checks that all works: 4 tenants, a second."`
	Tenants   int     `help:"How many there are, each with a namespace, a target and a disk." default:"256"`
	Seconds   int     `help:"How long they do nothing, and then for how long little." default:"10"`
	Rate      float64 `help:"Reads a second of each, when they do little." default:"4"`
	Burst     int     `help:"Reads of each, one after the other, when all do as much as they can." default:"200"`
	ServerCPU int     `help:"CPU that servers are pinned to; any with --server-cpu=-1." default:"0"`
	LoadCPU   int     `help:"CPU that the client is pinned to; any with --load-cpu=-1." default:"1"`
	Nice      int     `help:"Nice value of servers and client." default:"-20"`
}

// Validate is kong's hook.
func (c *Tenants) Validate() error {
	if c.Tenants < 1 || c.Tenants > 4096 || c.Seconds < 1 || c.Rate <= 0 || c.Burst < 1 {
		return errors.New("--tenants goes from 1 to 4096, --seconds and --burst from 1, --rate is above 0")
	}
	return nil
}

// House is what a kind of server needs for all tenants.
type House struct {
	Server    string        `json:"server"`
	Processes int           `json:"processes"`
	Threads   int           `json:"threads"`
	Files     int           `json:"descriptors"`
	PSS       int           `json:"pss_kb"` // with a session of each tenant
	Start     time.Duration `json:"start_ns"`
	Idle      float64       `json:"idle_cpu"` // of a CPU, while nobody does anything
	Light     Share         `json:"light"`
	Burst     Share         `json:"burst"`
}

// Share is how a load fared.
type Share struct {
	IOPS float64       `json:"iops"`
	CPU  float64       `json:"cpu_us"` // of the server, microseconds an I/O
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
}

// Run measures one kind of server after the other, and prints its part of the results
// page.
func (c *Tenants) Run(ctx context.Context) (err error) {
	if c.Short {
		c.Tenants, c.Seconds, c.Burst = min(c.Tenants, 4), 1, 20
	}
	if err := find("tgtd", "tgtadm"); err != nil {
		return err
	}
	if _, err := lab.RaiseFileLimit(); err != nil {
		return err
	}
	if c.Nice, err = lab.RaiseOwnNice(c.Nice); err != nil {
		return err
	}
	b, err := newSite(&Command{ServerCPU: c.ServerCPU, LoadCPU: c.LoadCPU, Nice: c.Nice}, c.Tenants)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	unpin, err := lab.PinSelf(c.LoadCPU)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unpin()) }()
	r := record.New[House, struct{}]("tenants", os.Args[1:])
	r.Versions = versions(ctx, "tgtd")
	for _, start := range []func(context.Context, int) (fleet, error){b.startTenants, b.startTgtds} {
		h, measureErr := c.measure(ctx, b, start)
		if err = measureErr; err != nil {
			break
		}
		r.Rows = append(r.Rows, h)
	}
	err = errors.Join(err, r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }))
	c.section(os.Stdout, r)
	return err
}

// measure has servers up for all, then idle, then with little to do, then with much.
func (c *Tenants) measure(ctx context.Context, b *bench, start func(context.Context, int) (fleet, error)) (h House, err error) {
	before := time.Now()
	f, err := start(ctx, c.Tenants)
	defer func() { err = errors.Join(err, f.stop()) }()
	if err != nil {
		return h, err
	}
	h.Server = f.name
	sessions := make([]*initiator.Session, c.Tenants)
	defer func() {
		for _, s := range sessions {
			if s != nil {
				_ = s.Close() // the server may be gone
			}
		}
	}()
	err = inParallel(c.Tenants, 8, func(i int) (err error) {
		sessions[i], err = b.logIn(ctx, i)
		return err
	})
	h.Start = time.Since(before)
	if err != nil {
		return h, err
	}
	pids := f.pids()
	idle, err := cpuOf(pids, func() error { return sleep(ctx, time.Duration(c.Seconds)*time.Second) })
	if err != nil {
		return h, err
	}
	h.Idle = idle.Seconds() / float64(c.Seconds)
	if h.Light, err = shareOf(pids, func() ([]float64, error) { return c.little(ctx, sessions) }); err != nil {
		return h, err
	}
	if h.Burst, err = shareOf(pids, func() ([]float64, error) { return c.much(ctx, sessions) }); err != nil {
		return h, err
	}
	return h, h.size(pids)
}

// size is what there is of servers that have worked.
func (h *House) size(pids []int) error {
	usage, err := lab.Measure(pids)
	if err != nil {
		return err
	}
	memory, err := lab.MeasureMemory(pids)
	if err != nil {
		return err
	}
	h.Processes, h.Threads, h.PSS = usage.Processes, usage.Threads, memory.PSS
	h.Files, err = lab.CountFiles(pids)
	return err
}

// little has each tenant read now and then, not all at once.
func (c *Tenants) little(ctx context.Context, sessions []*initiator.Session) ([]float64, error) {
	period := time.Duration(float64(time.Second) / c.Rate)
	each := max(1, int(float64(c.Seconds)*c.Rate))
	return readAll(sessions, each, func(i, n int, s *initiator.Session) (time.Duration, error) {
		if n == 0 {
			if err := sleep(ctx, period*time.Duration(i)/time.Duration(len(sessions))); err != nil {
				return 0, err
			}
		}
		took, err := read(ctx, s, n+i)
		return took, errors.Join(err, sleep(ctx, period-took))
	})
}

// much has all read at the same time, one after the other each.
func (c *Tenants) much(ctx context.Context, sessions []*initiator.Session) ([]float64, error) {
	return readAll(sessions, c.Burst, func(i, n int, s *initiator.Session) (time.Duration, error) { return read(ctx, s, n+i) })
}

// readAll has all sessions do so many I/Os each, and returns what they took, in seconds.
func readAll(sessions []*initiator.Session, each int, do func(i, n int, s *initiator.Session) (time.Duration, error)) ([]float64, error) {
	took := make([]float64, len(sessions)*each)
	var next atomic.Int64
	err := inParallel(len(sessions), len(sessions), func(i int) error {
		for n := range each {
			d, err := do(i, n, sessions[i])
			if err != nil {
				return fmt.Errorf("tenant %d: %w", i, err)
			}
			took[next.Add(1)-1] = d.Seconds()
		}
		return nil
	})
	return took, err
}

// shareOf runs a load, and takes the servers' CPU clocks before and after.
func shareOf(pids []int, load func() ([]float64, error)) (Share, error) {
	var took []float64
	start := time.Now()
	cpu, err := cpuOf(pids, func() (err error) {
		took, err = load()
		return err
	})
	if err != nil {
		return Share{}, err
	}
	at := func(q float64) time.Duration { return time.Duration(stats.Quantile(took, q) * float64(time.Second)) }
	return Share{
		IOPS: float64(len(took)) / time.Since(start).Seconds(),
		CPU:  cpu.Seconds() * 1e6 / float64(len(took)), P50: at(0.5), P99: at(0.99),
	}, nil
}

// cpuOf is what CPU time servers took while f ran.
func cpuOf(pids []int, f func() error) (time.Duration, error) {
	before, err := lab.Measure(pids)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := lab.Measure(pids)
	return after.CPU - before.CPU, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
