package iscsi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Calls are the system calls that a server made, an I/O.
type Calls struct {
	Case   string             `json:"case"`
	Server string             `json:"server"`
	Medium string             `json:"medium"`
	Total  float64            `json:"total"`
	Each   map[string]float64 `json:"each"` // by name
}

// countCalls counts the system calls of each server in each case, in runs of their own:
// strace(1) slows what it looks at, and so a client's queue may be fuller than it would be.
func (b *bench) countCalls(ctx context.Context) ([]Calls, error) {
	var all []Calls
	for _, p := range b.pairs() {
		calls, err := b.trace(ctx, p)
		if err != nil {
			return all, fmt.Errorf("%s, %s on %s: %w", p.load.name, p.server.name(), p.disk.medium, err)
		}
		all = append(all, calls)
	}
	return all, nil
}

// trace counts the system calls of one load.
func (b *bench) trace(ctx context.Context, p pair) (c Calls, err error) {
	table, err := os.CreateTemp(b.dir, "strace-")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-c", "-U", "calls,name", "-o", table.Name(), "-p", strconv.Itoa(p.server.pid())) //nolint:gosec // a number
	said, err := cmd.StderrPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	err = attached(said)
	var d done
	if err == nil {
		d, err = b.load(ctx, p, max(1, p.load.ios/20))
	}
	_ = cmd.Process.Signal(os.Interrupt) // it detaches, and ends by that signal
	var ended *exec.ExitError
	if waitErr := cmd.Wait(); waitErr != nil && !errors.As(waitErr, &ended) {
		err = errors.Join(err, waitErr)
	}
	if err != nil {
		return c, err
	}
	c = Calls{Case: p.load.name, Server: p.server.name(), Medium: p.disk.medium, Each: map[string]float64{}}
	counts, err := parseCalls(table)
	for name, n := range counts {
		c.Each[name] = float64(n) / d.ios
		c.Total += c.Each[name]
	}
	return c, err
}

// attached waits until strace has all threads, and lets it go on talking.
func attached(said io.Reader) error {
	lines := bufio.NewScanner(said)
	var all strings.Builder
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		if strings.Contains(lines.Text(), "attached") {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return nil
		}
	}
	return fmt.Errorf("strace: %s", strings.TrimSpace(all.String()))
}

// parseCalls reads the table of strace -c -U calls,name.
func parseCalls(table io.Reader) (map[string]int, error) {
	calls := map[string]int{}
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 || fields[1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(fields[0]); err == nil {
			calls[fields[1]] = n
		}
	}
	return calls, lines.Err()
}
