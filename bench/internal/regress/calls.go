package regress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/trial"
)

// counted are the system calls whose number a message is known exactly. A loop may wait
// once or twice for a message, so epoll_wait(2) is not among them.
var counted = []string{"recvfrom", "sendto", "setns", "epoll_ctl", "writev"}

// errNoStrace says that system calls can't be counted here.
var errNoStrace = errors.New("strace is not installed: make bench-peers installs it")

// countCalls counts a server's system calls from outside, with strace(1).
func countCalls(ctx context.Context, host *trial.Host, mode string) (metrics []Metric, err error) {
	c := trial.Cell{Shape: trial.Shape{Namespaces: structureNamespaces, Conns: 1}, Size: 64, Depth: 1, Kind: trial.Echo}
	s := trial.Server{Name: "nsr-" + mode, Program: "nsr", Args: []string{"-mode", mode, "-park", "1h"}}
	server, err := host.Serve(ctx, s, c, structurePort)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, stopErr := server.Stop()
		err = errors.Join(err, stopErr)
	}()
	clients, err := dialAll(host)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	if err := converse(clients, len(clients)); err != nil {
		return nil, err
	}
	pids, err := server.PIDs()
	if err != nil {
		return nil, err
	}
	calls, err := trace(ctx, pids[0], func() error { return converse(clients, structureMessages) })
	if err != nil {
		return nil, err
	}
	for _, name := range counted {
		metrics = append(metrics, exact(mode+": "+name+" a message", each(calls[name])))
	}
	return metrics, nil
}

// each is a count a message, to a hundredth: what follows the last answer may come after
// the counting has ended.
func each(calls int) float64 {
	return math.Round(float64(calls)*100/structureMessages) / 100
}

// trace counts the system calls that a process makes while work runs.
func trace(ctx context.Context, pid int, work func() error) (map[string]int, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, errNoStrace
	}
	output, err := os.CreateTemp("", "nsreactor-strace-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(output.Name()) //nolint:errcheck // a file in the temporary folder
	defer output.Close()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-c", "-U", "calls,name", "-e", "trace="+strings.Join(counted, ","),
		"-o", output.Name(), "-p", strconv.Itoa(pid))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it detaches
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
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
	if err := errors.Join(workErr, waitErr); err != nil {
		return nil, err
	}
	return parseCalls(output)
}

// attached waits until strace has said that it traces, and lets it go on talking.
func attached(said io.Reader) error {
	lines := bufio.NewScanner(said)
	var all bytes.Buffer
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		if strings.Contains(lines.Text(), "attached") {
			// It says so once, when it has all threads.
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return nil
		}
	}
	return fmt.Errorf("strace: %s", strings.TrimSpace(all.String()))
}

// parseCalls reads the table of strace -c -U calls,name. A call that was not made has no
// line.
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
