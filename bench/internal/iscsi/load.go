package iscsi

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// A load is what a client does. iscsi-perf (libiscsi) reads for some seconds; qemu-img
// bench does so many I/Os, and can write.
type load struct {
	name   string
	block  int // bytes
	depth  int
	random bool
	writes bool
	ios    int  // for qemu-img; iscsi-perf if 0
	null   bool // on volumes that have no medium; otherwise on those that do
}

// random4K is the case that most targets are about.
const random4K = "4 KiB random read, QD 32"

// cases are all there are. The random writes are qemu-img's, which has no randomness:
// each is 1 MiB and 4 KiB further on, and so never next to the one before.
var cases = []load{
	{name: "4 KiB random read, QD 1", block: 4 << 10, depth: 1, random: true},
	{name: random4K, block: 4 << 10, depth: 32, random: true},
	{name: "4 KiB strided write, QD 32", block: 4 << 10, depth: 32, random: true, writes: true, ios: 40000},
	{name: "64 KiB sequential read, QD 8", block: 64 << 10, depth: 8},
	{name: "64 KiB sequential write, QD 8", block: 64 << 10, depth: 8, writes: true, ios: 10000},
	{name: "1 MiB sequential read, QD 4", block: 1 << 20, depth: 4, ios: 1500},
	{name: "1 MiB sequential write, QD 4", block: 1 << 20, depth: 4, writes: true, ios: 1000},
	{name: "null, 4 KiB random read, QD 1", block: 4 << 10, depth: 1, random: true, null: true},
	{name: "null, 4 KiB random read, QD 32", block: 4 << 10, depth: 32, random: true, null: true},
}

func (l load) count(short bool) int {
	if short {
		return l.ios / 20
	}
	return l.ios
}

// command is the client that does so many I/Os, or reads for so many seconds.
func (l load) command(url string, count, seconds int) []string {
	if l.ios > 0 {
		step := l.block
		if l.random {
			step += 1 << 20
		}
		args := []string{
			"qemu-img", "bench", "-f", "raw", "-t", "none", "-c", strconv.Itoa(count), "-d", strconv.Itoa(l.depth),
			"-s", strconv.Itoa(l.block), "-S", strconv.Itoa(step),
		}
		if l.writes {
			args = append(args, "-w")
		}
		return append(args, url)
	}
	args := []string{"iscsi-perf", "-m", strconv.Itoa(l.depth), "-b", strconv.Itoa(l.block / 512), "-t", strconv.Itoa(seconds)}
	if l.random {
		args = append(args, "-r")
	}
	return append(args, url)
}

// done is what a client says that it did, and what CPU time it took for that.
type done struct {
	ios  float64
	took time.Duration
	cpu  time.Duration
}

// load runs a client to its end. iscsi-perf compares the time with whole seconds, and goes on for
// ever if it was held up for the one in which it should have ended: then it runs once more.
func (b *bench) load(ctx context.Context, p pair, count int) (d done, err error) {
	for range 3 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(b.Seconds)*time.Second+time.Minute)
		d, err = b.loadOnce(limited, p, count)
		late := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			break
		}
	}
	return d, err
}

func (b *bench) loadOnce(ctx context.Context, p pair, count int) (done, error) {
	args := p.load.command(p.server.url(p.disk.lun), count, b.Seconds)
	cmd := b.inside(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := lab.Start(cmd, b.LoadCPU, b.Nice); err != nil {
		return done{}, err
	}
	if err := cmd.Wait(); err != nil {
		return done{}, fmt.Errorf("%v: %w: %s%s", args, err, out.Bytes(), errs.Bytes())
	}
	d, err := p.load.parse(out.Bytes(), count, b.Seconds)
	d.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return d, err
}

// inside is a command that runs in the bench's first namespace.
func (b *bench) inside(ctx context.Context, args ...string) *exec.Cmd {
	return b.insideOf(ctx, 0, args...)
}

func (b *bench) insideOf(ctx context.Context, i int, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + b.spaces.Path(i)}, args...)...)
}

var (
	perfSays = regexp.MustCompile(`(?m)^iops average (\d+) `)
	qemuSays = regexp.MustCompile(`Run completed in ([\d.]+) seconds`)
)

// parse reads what a client has said at its end.
func (l load) parse(said []byte, count, seconds int) (done, error) {
	said = bytes.ReplaceAll(said, []byte("\r"), []byte("\n"))
	says := perfSays
	if l.ios > 0 {
		says = qemuSays
	}
	found := says.FindSubmatch(said)
	if found == nil {
		return done{}, fmt.Errorf("the client does not say what it did: %q", said)
	}
	value, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || value <= 0 {
		return done{}, fmt.Errorf("the client says that it did %q: %w", found[0], err)
	}
	if l.ios > 0 {
		return done{ios: float64(count), took: time.Duration(value * float64(time.Second))}, nil
	}
	return done{ios: value * float64(seconds), took: time.Duration(seconds) * time.Second}, nil
}
