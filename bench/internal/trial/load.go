package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// loadPatience is how long a load may take beyond the time it was asked for: to
// connect, or to take the last answers in.
const loadPatience = 90 * time.Second

// A load is a load generator, c/load.c, connected to one server. It belongs to one
// goroutine.
type load struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  *bufio.Scanner
	stderr watcher
	ended  bool
}

// loadReport is what the load generator prints after a window.
type loadReport struct {
	Messages    uint64     `json:"messages"`
	Seconds     float64    `json:"seconds"`
	Rate        float64    `json:"rate"`
	Connections int        `json:"connections"`
	CPUShare    float64    `json:"cpu_share"`
	Watched     float64    `json:"watched_cpu_seconds"`
	Dropped     uint64     `json:"dropped"`
	Answered    uint64     `json:"answered"` // since it is connected
	Latency     [][2]int64 `json:"latency"`
}

// startLoad starts a load generator and waits until it is connected.
func startLoad(ctx context.Context, cmd *exec.Cmd, cpu, nice int) (*load, error) {
	l := &load{cmd: cmd}
	cmd.Stderr = &l.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if l.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := lab.Start(cmd, cpu, nice); err != nil {
		return nil, err
	}
	l.lines = bufio.NewScanner(stdout)
	l.lines.Buffer(nil, 16<<20)
	line, err := l.read(ctx, loadPatience)
	if err == nil && !strings.HasPrefix(line, "connected ") {
		err = fmt.Errorf("load said %q instead of that it is connected", line)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// read reads a line. If it does not come in time the load is killed.
func (l *load) read(ctx context.Context, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.cmd.Process.Kill() })
	defer stop()
	if l.lines.Scan() {
		return l.lines.Text(), nil
	}
	l.ended = true
	err := l.lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	waitErr := l.cmd.Wait()
	return "", fmt.Errorf("load: %w: %s", errors.Join(ctx.Err(), err, waitErr), l.stderr.String())
}

// tell writes a line.
func (l *load) tell(format string, args ...any) error {
	_, err := fmt.Fprintf(l.stdin, format+"\n", args...)
	return err
}

// window runs the load once. At both ends of the window mark is called, with the load
// still running.
func (l *load) window(ctx context.Context, span Span, mark func() error) (r loadReport, err error) {
	if err := l.tell("run %g %g %g", span.Seconds, span.Warmup, span.Rate); err != nil {
		return r, err
	}
	patience := time.Duration((span.Seconds+span.Warmup)*float64(time.Second)) + loadPatience
	var markErr error
	for {
		line, err := l.read(ctx, patience)
		switch {
		case err != nil:
			return r, err
		case line == "start" || line == "stop":
			markErr = errors.Join(markErr, mark())
		default:
			return r, errors.Join(json.Unmarshal([]byte(line), &r), markErr)
		}
	}
}

// close ends the load.
func (l *load) close() error {
	if l.ended {
		return nil
	}
	l.ended = true
	_ = l.stdin.Close()
	timer := time.AfterFunc(stopPatience, func() { _ = l.cmd.Process.Kill() })
	defer timer.Stop()
	if err := l.cmd.Wait(); err != nil {
		return fmt.Errorf("load: %w: %s", err, l.stderr.String())
	}
	return nil
}

// The range and precision of latencies, in nanoseconds.
const (
	longestLatency = int64(2 * time.Minute)
	digits         = 3
)

// histogram makes an HdrHistogram of what the load has counted.
func (r *loadReport) histogram() *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, longestLatency, digits)
	for _, bucket := range r.Latency {
		_ = h.RecordValues(min(bucket[0], longestLatency), bucket[1]) // fails for what is out of range only
	}
	return h
}
