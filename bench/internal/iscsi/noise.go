package iscsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/progress"
	"github.com/nsreactor/nsreactor/bench/internal/record"
	"github.com/nsreactor/nsreactor/bench/internal/stats"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
)

// Noise is the command line of what a noisy tenant does to a quiet one on the same loop.
type Noise struct {
	Out       string `help:"Folder to write to." default:"results" type:"path"`
	Short     bool   `help:"A short form that checks that all works: one round of a second each."`
	Rounds    int    `help:"How often each case is measured." default:"5"`
	Seconds   int    `help:"How long the quiet one is measured." default:"3"`
	Min       int    `help:"The quiet one's minimum, where it has one: I/Os a second." default:"3000"`
	Max       int    `help:"The noisy one's maximum, where it has one: MiB a second." default:"200"`
	ServerCPU int    `help:"CPU that the server is pinned to; any with --server-cpu=-1." default:"0"`
	LoadCPU   int    `help:"CPU that clients are pinned to; any with --load-cpu=-1." default:"1"`
	Settle    int    `help:"How long noise goes on before, for the governor to settle." default:"4"`
	Nice      int    `help:"Nice value of the server and the quiet client; noisy ones have 10 more." default:"-20"`
}

// Validate is kong's hook.
func (c *Noise) Validate() error {
	if c.Rounds < 1 || c.Seconds < 1 || c.Min < 1 || c.Max < 1 || c.Settle < 0 {
		return errors.New("--rounds, --seconds, --min and --max have to be above 0, --settle not below")
	}
	return nil
}

const (
	noisyClients = 4
	noisyDepth   = 128
	noisyBlock   = 64 << 10
)

// A scene is what two tenants are to each other.
type scene struct {
	name  string
	quiet string // quality of service, as in the tenants file
	noisy string
	noise bool
}

func (c *Noise) scenes() []scene {
	minimum, maximum := fmt.Sprintf(", qos: {min: {iops: %d}}", c.Min), fmt.Sprintf(", qos: {max: {bandwidth: %dMiB}}", c.Max)
	return []scene{
		{name: alone},
		{name: noQoS, noise: true},
		{name: noisyMax, noise: true, noisy: maximum},
		{name: quietMin, noise: true, quiet: minimum},
	}
}

// Names of scenes.
const (
	alone    = "alone"
	noQoS    = "beside noise"
	noisyMax = "the noisy one has a maximum"
	quietMin = "the quiet one has a minimum"
)

// Hearing is how the quiet one fared in a scene.
type Hearing struct {
	Scene string        `json:"scene"`
	Round int           `json:"round"`
	IOPS  float64       `json:"iops"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Noise float64       `json:"noise_mib"` // that the noisy one got, MiB a second
	Share float64       `json:"server_share"`
}

// Run measures, and prints its part of the results page.
func (c *Noise) Run(ctx context.Context) (err error) {
	if c.Short {
		c.Rounds, c.Seconds, c.Settle = 1, 1, 1
	}
	if err := find("iscsi-perf"); err != nil {
		return err
	}
	if c.Nice, err = lab.RaiseOwnNice(c.Nice); err != nil {
		return err
	}
	b, err := newSite(&Command{ServerCPU: c.ServerCPU, LoadCPU: c.LoadCPU, Nice: c.Nice}, 2)
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
	r := record.New[Hearing, []Hearing]("noise", os.Args[1:])
	bar := progress.New(c.Rounds*len(c.scenes()), "noise")
	err = c.measure(ctx, b, &r.Rows, bar.Step)
	bar.Finish()
	r.Summary = hear(r.Rows)
	err = errors.Join(err, r.Finish(c.Out, func(string) ([]string, error) { return nil, nil }))
	c.section(os.Stdout, r)
	return err
}

// measure goes through all scenes in each round.
func (c *Noise) measure(ctx context.Context, b *bench, rows *[]Hearing, step func(now string)) error {
	for round := range c.Rounds {
		for _, s := range c.scenes() {
			h, err := c.play(ctx, b, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			h.Round = round
			*rows = append(*rows, h)
			step(s.name)
		}
	}
	return nil
}

// play measures one scene, with a server of its own.
func (c *Noise) play(ctx context.Context, b *bench, s scene) (h Hearing, err error) {
	var config bytes.Buffer
	for name, qos := range map[string]string{"quiet": s.quiet, "noisy": s.noisy} {
		fmt.Fprintf(&config, "  - name: %s\n    namespaces: [%s]\n    volumes: [{name: %s, size: 256MiB, kind: memory%s}]\n"+
			"    targets: [{iqn: %q, luns: {1: %s}}]\n", name, name, name, qos, iqn, name)
	}
	server, err := b.runStub(config.String(), "quiet", "noisy")
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	session, err := b.logIn(ctx, 0)
	if err != nil {
		return h, err
	}
	defer func() { _ = session.Close() }() // the server outlives it
	h.Scene = s.name
	noise := func() (float64, error) { return 0, nil }
	if s.noise {
		if noise, err = c.makeNoise(ctx, b); err != nil {
			return h, err
		}
		if err := sleep(ctx, time.Duration(c.Settle)*time.Second); err != nil {
			_, noiseErr := noise()
			return h, errors.Join(err, noiseErr)
		}
	}
	listenErr := h.listen(ctx, server.pid(), session, time.Duration(c.Seconds)*time.Second)
	h.Noise, err = noise()
	return h, errors.Join(listenErr, err)
}

// listen has the quiet one read for a while, one I/O after the other.
func (h *Hearing) listen(ctx context.Context, pid int, s *initiator.Session, long time.Duration) error {
	var took []float64
	start := time.Now()
	cpu, err := cpuOf([]int{pid}, func() error {
		for time.Since(start) < long {
			d, err := read(ctx, s, len(took))
			if err != nil {
				return err
			}
			took = append(took, d.Seconds())
		}
		return nil
	})
	spent := time.Since(start).Seconds()
	at := func(q float64) time.Duration { return time.Duration(stats.Quantile(took, q) * float64(time.Second)) }
	h.IOPS, h.P50, h.P99, h.P999 = float64(len(took))/spent, at(0.5), at(0.99), at(0.999)
	h.Share = cpu.Seconds() / spent
	return err
}

// makeNoise starts the noisy tenant's clients, which stop by themselves. The function that it returns
// waits for them, and says how many MiB a second they got in all.
func (c *Noise) makeNoise(ctx context.Context, b *bench) (func() (float64, error), error) {
	seconds := c.Seconds + c.Settle + 1
	var clients []*exec.Cmd
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+time.Minute) // see load
	said := make([]bytes.Buffer, noisyClients)
	wait := func() (sum float64, err error) {
		defer cancel()
		for i, cmd := range clients {
			if waitErr := cmd.Wait(); waitErr != nil {
				err = errors.Join(err, fmt.Errorf("%v: %w: %s", cmd.Args, waitErr, said[i].Bytes()))
				continue
			}
			d, parseErr := load{}.parse(said[i].Bytes(), 0, seconds)
			err = errors.Join(err, parseErr)
			sum += d.ios / float64(seconds) * noisyBlock / (1 << 20)
		}
		return sum, err
	}
	for i := range said {
		cmd := b.insideOf(ctx, 1, "iscsi-perf", "-m", strconv.Itoa(noisyDepth), "-b", strconv.Itoa(noisyBlock/sector), "-t", strconv.Itoa(seconds),
			"-r", fmt.Sprintf("iscsi://%s:3260/%s/1", address, iqn))
		cmd.Stdout, cmd.Stderr = &said[i], &said[i]
		if err := lab.Start(cmd, c.LoadCPU, min(c.Nice+10, 19)); err != nil {
			_, waitErr := wait()
			return nil, errors.Join(err, waitErr)
		}
		clients = append(clients, cmd)
	}
	return wait, nil
}
