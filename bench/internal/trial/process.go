package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

const (
	startPatience = 60 * time.Second // for a server to open its listeners
	stopPatience  = 5 * time.Second  // for a server to end after SIGTERM
)

// Counters is what a server may print at its end; zero if it does not.
type Counters struct {
	Events   uint64 `json:"events"`
	Waits    uint64 `json:"epoll_waits"`
	Switches uint64 `json:"switches"`
	Updates  uint64 `json:"updates"`
	// Sampled is how many messages a server has looked at to see where they came from,
	// 0 if it does not look, and OnReceiving how many of them it handled on the CPU
	// that had received them.
	Sampled     uint64 `json:"sampled"`
	OnReceiving uint64 `json:"on_receiving_cpu"`
}

// A Process is a server that runs. It belongs to one goroutine.
type Process struct {
	Name string
	// Took is how long it needed from being started to listening everywhere.
	Took time.Duration

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout watcher
	stderr watcher
	exited chan error
}

// start starts a command on a CPU and waits until it says that it is ready.
func start(ctx context.Context, name string, cmd *exec.Cmd, cpu, nice int) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, exited: make(chan error, 1)}
	ready := p.stderr.line("ready")
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := lab.Start(cmd, cpu, nice); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() { p.exited <- cmd.Wait() }()
	if err := p.await(ctx, ready, startPatience); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	p.Took = time.Since(began)
	return p, nil
}

// await waits for something that the process is to say.
func (p *Process) await(ctx context.Context, said <-chan struct{}, patience time.Duration) error {
	select {
	case <-said:
		return nil
	case err := <-p.exited:
		p.exited <- err
		return fmt.Errorf("%s ended too early: %w: %q", p.Name, orUnexpected(err), p.stderr.String())
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("%s: nothing heard in %v: %q", p.Name, patience, p.stderr.String())
	}
}

func orUnexpected(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Ask writes a line to the process and waits for its answer, a line too. It returns how
// long that took.
func (p *Process) Ask(ctx context.Context, question, answer string) (time.Duration, error) {
	said := p.stdout.line(answer)
	began := time.Now()
	if _, err := fmt.Fprintln(p.stdin, question); err != nil {
		return 0, err
	}
	err := p.await(ctx, said, startPatience)
	return time.Since(began), err
}

// PIDs lists the processes that belong to it, itself first.
func (p *Process) PIDs() ([]int, error) { return lab.Session(p.cmd.Process.Pid) }

// Stop ends the process with SIGTERM, or with SIGKILL if it does not listen to that,
// and returns what it has counted.
func (p *Process) Stop() (Counters, error) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case err = <-p.exited:
	case <-time.After(stopPatience):
		err = fmt.Errorf("SIGTERM did not end it: %w", p.kill())
	}
	if err != nil {
		return Counters{}, fmt.Errorf("%s: %w: %q", p.Name, err, p.stderr.String())
	}
	return parseCounters(p.stdout.bytes())
}

// kill ends the process and all that it has started, and returns how it ended.
func (p *Process) kill() error {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // Start has made it a session, and so a group
	return <-p.exited
}

// parseCounters reads the last line of JSON in a server's output, which may also hold
// what a library logs.
func parseCounters(output []byte) (out Counters, err error) {
	for line := range bytes.Lines(output) {
		if bytes.HasPrefix(line, []byte("{")) {
			out = Counters{}
			err = json.Unmarshal(line, &out)
		}
	}
	return out, err
}
