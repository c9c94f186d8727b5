// Command haproxy runs HAProxy as the harness wants a server: one process with one
// thread that listens in all namespaces and answers each HTTP request with -size bytes.
//
// HAProxy finds namespaces by name in /var/run/netns. The harness's have no names, so
// HAProxy gets a mount namespace of its own in which they do. Everything lives in a
// tmpfs in there, and goes with the last process in it.
//
// This process is HAProxy's parent and sleeps; at its end it prints what memory it had
// itself, so that it can be taken off. Without HAProxy installed it exits with 3.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// patience is for HAProxy to open its listeners.
const patience = 60 * time.Second

// The main goroutine keeps the main thread: it is that thread's mount namespace that
// changes, and its end that would end HAProxy.
func init() { runtime.LockOSThread() }

func main() {
	size := flag.Int("size", 64, "bytes of a reply's body")
	program := flag.String("program", "haproxy", "HAProxy")
	options := serve.Parse()
	path, err := exec.LookPath(*program)
	if err != nil {
		fmt.Fprintln(os.Stderr, "haproxy is not installed:", err)
		os.Exit(3)
	}
	ctx := serve.UntilTerminated()
	if err := run(ctx, path, &options, *size); err != nil {
		log.Fatal(err)
	}
}

// run runs HAProxy until ctx ends.
func run(ctx context.Context, program string, options *serve.Options, size int) error {
	limit, err := lab.RaiseFileLimit()
	if err != nil {
		return err
	}
	dir, err := hide(options.Namespaces)
	if err != nil {
		return err
	}
	file, err := writeConfig(dir, config{options.Port, len(options.Namespaces), size, limit})
	if err != nil {
		return err
	}
	process, err := start(program, file)
	if err != nil {
		return err
	}
	if err := process.awaitListening(ctx, bound(dir, len(options.Namespaces)-1), options.Port); err != nil {
		return err
	}
	serve.Ready()
	select {
	case err := <-process.exited:
		return fmt.Errorf("haproxy ended: %w: %s", err, process.output.String())
	case <-ctx.Done():
	}
	serve.PrintCounters(ownMemory())
	return process.end()
}

// ownMemory is what this process adds to the memory of the session.
func ownMemory() map[string]lab.Memory {
	memory, err := lab.MeasureMemory([]int{os.Getpid()})
	if err != nil {
		log.Fatal(err)
	}
	return map[string]lab.Memory{"wrapper": memory}
}

// A process is HAProxy.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer // shown only if it fails: there is always a warning or two
	exited chan error
}

// start starts HAProxy in the calling thread's mount namespace, in the foreground (-db).
func start(program, config string) (*process, error) {
	p := &process{cmd: exec.Command(program, "-db", "-f", config), exited: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

// awaitListening waits until HAProxy listens in the namespace at path, which is to be
// the last in its configuration: it opens them in order, before it serves any.
func (p *process) awaitListening(ctx context.Context, path string, port int) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		select {
		case err := <-p.exited:
			return fmt.Errorf("haproxy ended before it listened: %w: %s", err, p.output.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return fmt.Errorf("haproxy does not listen")
		case <-tick.C:
		}
		if listens, err := listening(path, port); listens || err != nil {
			return err
		}
	}
}

// end ends HAProxy at once: SIGTERM.
func (p *process) end() error {
	if err := terminate(p.cmd.Process); err != nil {
		return err
	}
	err := <-p.exited
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil // it says 143 rather than 0
	}
	return err
}
