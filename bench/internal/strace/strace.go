// Package strace counts the system calls of a process with strace(1).
package strace

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

// ErrMissing is a machine without strace(1).
var ErrMissing = errors.New("strace is not installed: make bench-peers installs it")

// Count counts the system calls that a process makes, in all its threads, while work runs:
// those that are named, or all. strace slows what it looks at.
func Count(ctx context.Context, pid int, calls []string, work func() error) (map[string]int, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, ErrMissing
	}
	table, err := os.CreateTemp("", "nsreactor-strace-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(table.Name()) //nolint:errcheck // a file in the temporary folder
	defer table.Close()
	args := []string{"-f", "-c", "-U", "calls,name", "-o", table.Name(), "-p", strconv.Itoa(pid)}
	if len(calls) > 0 {
		args = append(args, "-e", "trace="+strings.Join(calls, ","))
	}
	if err := during(exec.CommandContext(ctx, "strace", args...), work); err != nil {
		return nil, err
	}
	return parse(table)
}

// during has strace run while work does.
func during(cmd *exec.Cmd, work func() error) error {
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it detaches
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	workErr := attached(said)
	if workErr == nil {
		workErr = work()
	}
	_ = cmd.Process.Signal(os.Interrupt)
	waitErr := cmd.Wait()
	if _, ended := errors.AsType[*exec.ExitError](waitErr); ended {
		waitErr = nil // it ends by the signal that it was sent
	}
	return errors.Join(workErr, waitErr)
}

// attached waits until strace has said, once, that it has all threads, and lets it go on
// talking.
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

// parse reads the table of strace -c -U calls,name. A call that was not made has no line.
func parse(table io.Reader) (map[string]int, error) {
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
