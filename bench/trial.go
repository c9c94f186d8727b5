package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	startPatience = 60 * time.Second // for a server to open its listeners
	stopPatience  = 5 * time.Second  // for a server to end after SIGTERM
	loadPatience  = 90 * time.Second // beyond the load's own window; it also bounds itself
)

// A runner knows everything about a trial that does not depend on server or cell.
type runner struct {
	programs           string // folder
	list               string // file of namespace paths
	port               int
	seconds, warmup    float64
	serverCPU, loadCPU int
	nice               int
}

// loadReport is what the load generator prints.
type loadReport struct {
	Messages   uint64  `json:"messages"`
	Seconds    float64 `json:"seconds"`
	Rate       float64 `json:"rate"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	P999       float64 `json:"p999_us"`
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUShare   float64 `json:"cpu_share"`
}

// counters is what a server may print at its end; zero if it does not.
type counters struct {
	Events   uint64 `json:"events"`
	Waits    uint64 `json:"epoll_waits"`
	Switches uint64 `json:"switches"`
}

// A result is one trial's figures.
type result struct {
	Server    string `json:"server"`
	Shape     string `json:"shape"`
	Size      int    `json:"size"`
	Depth     int    `json:"depth"`
	Round     int    `json:"round"`
	Load      loadReport
	CPUMicros float64 `json:"server_cpu_us_per_message"`
	CPUShare  float64 `json:"server_cpu_share"`
	// WaitShare is the time that server threads were runnable without running. On a
	// quiet machine it is next to nothing for a server of one thread.
	WaitShare float64 `json:"server_wait_share"`
	Slices    float64 `json:"server_slices_per_message"`
	RSSKB     int     `json:"server_rss_kb"`
	Threads   int     `json:"server_threads"`
	Counters  counters
}

// trial starts a server, loads it, and measures over the load's window.
func (r *runner) trial(ctx context.Context, s server, c cell, round int) (result, error) {
	process, err := r.startServer(ctx, s, c)
	if err != nil {
		return result{}, err
	}
	before, after, load, err := r.runLoad(ctx, c, process.cmd.Process.Pid)
	counters, stopErr := process.stop()
	if err := errors.Join(err, stopErr, ctx.Err()); err != nil {
		return result{}, fmt.Errorf("%w; the server said: %q", err, process.stderr.String())
	}
	if load.Messages == 0 {
		return result{}, fmt.Errorf("not one message in %v s", load.Seconds)
	}
	out := result{Server: s.name, Shape: c.shape.String(), Size: c.size, Depth: c.depth, Round: round, Load: load}
	out.Counters = counters
	out.measure(before, after)
	return out, nil
}

// measure fills in what the server used between two samples. They are taken a little
// after the window's ends, with the load still running; so CPU time is related to the
// time between the samples, and messages to the time of the window.
func (r *result) measure(before, after sample) {
	span := after.at.Sub(before.at).Seconds()
	spent := since(before.threads, after.threads)
	r.CPUShare = (after.cpu - before.cpu).Seconds() / span
	r.CPUMicros = r.CPUShare / r.Load.Rate * 1e6
	r.WaitShare = time.Duration(spent.wait).Seconds() / span
	r.Slices = float64(spent.slices) / span / r.Load.Rate
	r.RSSKB = after.rssKB
	r.Threads = len(after.threads)
}

// A serverProcess is a server that runs.
type serverProcess struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr watcher
	exited chan error
}

// startServer starts a server on its CPU and waits until it listens everywhere.
func (r *runner) startServer(ctx context.Context, s server, c cell) (*serverProcess, error) {
	args := append([]string{}, s.args...)
	args = append(args, "-p", strconv.Itoa(r.port), "-b", strconv.Itoa(c.bufferSize()), "@"+r.list)
	p := &serverProcess{cmd: exec.Command(r.path(s.program), args...), exited: make(chan error, 1)}
	p.stderr.ready = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := startOn(p.cmd, r.serverCPU, r.nice); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	select {
	case <-p.stderr.ready:
		return p, nil
	case err := <-p.exited:
		return nil, fmt.Errorf("it ended before it was ready: %w: %q", err, p.stderr.String())
	case <-ctx.Done():
	case <-time.After(startPatience):
	}
	_ = p.cmd.Process.Kill()
	return nil, errors.Join(ctx.Err(), fmt.Errorf("not ready, ended: %w: %q", <-p.exited, p.stderr.String()))
}

// path is where a program is.
func (r *runner) path(program string) string {
	if filepath.IsAbs(program) {
		return program
	}
	return filepath.Join(r.programs, program)
}

// stop ends a server with SIGTERM, or with SIGKILL if it does not listen to that.
func (p *serverProcess) stop() (counters, error) {
	var out counters
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-p.exited:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		err = fmt.Errorf("SIGTERM did not end it: %w", <-p.exited)
	}
	if err != nil {
		return out, err
	}
	return parseCounters(p.stdout.Bytes())
}

// parseCounters reads the last line of JSON in a server's output, which may also hold
// what a library logs.
func parseCounters(output []byte) (out counters, err error) {
	for line := range bytes.Lines(output) {
		if bytes.HasPrefix(line, []byte("{")) {
			out = counters{}
			err = json.Unmarshal(line, &out)
		}
	}
	return out, err
}

// runLoad runs the load generator and samples the server at both ends of its window.
func (r *runner) runLoad(ctx context.Context, c cell, server int) (before, after sample, load loadReport, err error) {
	total := time.Duration((r.seconds+r.warmup)*float64(time.Second)) + loadPatience
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.path("load"), r.loadArgs(c)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return before, after, load, err
	}
	if err := startOn(cmd, r.loadCPU, r.nice); err != nil {
		return before, after, load, err
	}
	before, after, load, err = follow(stdout, server)
	if waitErr := cmd.Wait(); waitErr != nil || err != nil {
		err = fmt.Errorf("load: %w: %s", errors.Join(waitErr, err), complaints.String())
	}
	return before, after, load, err
}

func (r *runner) loadArgs(c cell) []string {
	return []string{
		"-p", strconv.Itoa(r.port), "-c", strconv.Itoa(c.conns),
		"-s", strconv.Itoa(c.size), "-d", strconv.Itoa(c.depth),
		"-t", fmt.Sprint(r.seconds), "-w", fmt.Sprint(r.warmup), "@" + r.list,
	}
}

// follow reads the load's markers and figures. It reads to the end even if a sample
// fails, so that the load never blocks on its pipe.
func follow(stdout io.Reader, server int) (before, after sample, load loadReport, err error) {
	lines := bufio.NewScanner(stdout)
	seen := 0
	for lines.Scan() {
		var e error
		switch seen++; {
		case lines.Text() == "start":
			before, e = takeSample(server)
		case lines.Text() == "stop":
			after, e = takeSample(server)
		default:
			e = json.Unmarshal(lines.Bytes(), &load)
		}
		err = errors.Join(err, e)
	}
	if seen != 3 {
		err = errors.Join(err, fmt.Errorf("%d lines of output instead of 3", seen))
	}
	return before, after, load, errors.Join(err, lines.Err())
}

// newRunner prepares for trials on the first count namespaces.
func (o *options) newRunner(spaces *namespaces, dir string, count int) (*runner, error) {
	r := &runner{
		programs: o.programs, list: filepath.Join(dir, fmt.Sprintf("namespaces-%d", count)), port: o.port,
		seconds: o.seconds, warmup: o.warmup, serverCPU: o.serverCPU, loadCPU: o.loadCPU, nice: o.nice,
	}
	if _, err := os.Stat(r.list); err == nil {
		return r, nil
	}
	return r, spaces.writeList(r.list, count)
}
