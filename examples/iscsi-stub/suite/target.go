package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// site is a running iscsi-stub, with a namespace for each of its tenants.
type site struct {
	dir     string
	lab     *nstest.Lab
	tenants map[string]*nstest.Tenant
	target  *exec.Cmd
	log     *os.File
}

// start builds the target, makes the namespaces, and waits until it serves them.
func start(ctx context.Context, o options, dir string) (_ *site, err error) {
	s := &site{dir: dir, tenants: make(map[string]*nstest.Tenant)}
	binary := filepath.Join(dir, "iscsi-stub")
	build := exec.CommandContext(ctx, "go", "build", fmt.Sprintf("-race=%v", o.race), "-o", binary, "./examples/iscsi-stub")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	if s.lab, err = nstest.NewLab(filepath.Join(dir, "netns")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, p := range profiles {
		if s.tenants[p.tenant] == nil {
			if s.tenants[p.tenant], err = s.lab.Add(p.tenant); err != nil {
				return nil, err
			}
		}
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(filepath.Join(o.out, "iscsi-stub.log")); err != nil {
		return nil, err
	}
	return s, s.serve(binary)
}

// serve starts the target.
func (s *site) serve(binary string) error {
	tenants, err := os.ReadFile(here + "/tenants.yaml")
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "tenants.yaml") // its data are beside it
	if err := os.WriteFile(file, tenants, 0o600); err != nil {
		return err
	}
	s.target = exec.Command(binary, "-config", file, "-netns-dir", s.lab.Dir(), "-ping", "90s") // the suite sleeps for a minute
	s.target.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	output, err := s.target.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.target.Start(); err != nil {
		return err
	}
	return s.awaitReady(output)
}

// awaitReady reads the target's log until it says that it is ready, and has the rest copied.
func (s *site) awaitReady(output io.Reader) error {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		fmt.Fprint(s.log, line)
		switch {
		case err != nil:
			return fmt.Errorf("the target does not start: see %s", s.log.Name())
		case strings.Contains(line, "msg=ready"):
			go func() { _, _ = io.Copy(s.log, lines) }() // until the target ends
			return nil
		}
	}
}

// stop has the target drain, which is to end well, and the namespaces gone.
func (s *site) stop() error {
	var errs []error
	if s.target != nil && s.target.Process != nil {
		errs = append(errs, s.target.Process.Signal(os.Interrupt))
		if err := s.target.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("the target: %w; see %s", err, s.log.Name()))
		}
	}
	return errors.Join(append(errs, s.lab.Close())...)
}

// runAll runs the suite on every profile, all at once, and returns what came out in the order of
// profiles.
func (s *site) runAll(ctx context.Context, o options) ([]result, error) {
	results, errs := make([][]result, len(profiles)), make([]error, len(profiles))
	var running sync.WaitGroup
	for i, p := range profiles {
		if o.only == "" || o.only == p.name {
			running.Go(func() { results[i], errs[i] = s.run(ctx, p, o.out) })
		}
	}
	running.Wait()
	var all []result
	for _, some := range results {
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

// run runs the suite's tests for a profile, on the other side of its tenant's wire.
func (s *site) run(ctx context.Context, p profile, out string) ([]result, error) {
	out = filepath.Join(out, strings.ReplaceAll(p.name, " ", "-"))
	args := []string{here + "/iscsi-suite.sh", "10.77.0.1", p.iqn, "0"}
	if p.both {
		args = append(args, "[fd77::1]")
	}
	cmd := exec.CommandContext(ctx, "bash", args...)
	cmd.Env = append(os.Environ(), "OUT="+out, "TESTS="+p.tests, "NOTESTS="+p.not, "CHAP="+p.chap, "URLARGS="+p.args, "T=100")
	if text, err := s.beside(p.tenant, cmd); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", p.name, err, text)
	}
	return readRun(filepath.Join(out, "results.tsv"), p.name)
}

// beside runs a command in the namespace that a tenant's clients are in.
func (s *site) beside(tenant string, cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	// What a thread starts is in the thread's namespace.
	if err := s.tenants[tenant].Peer.Do(cmd.Start); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}
