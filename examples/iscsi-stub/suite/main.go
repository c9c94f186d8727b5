// Command suite runs real initiators against iscsi-stub: libiscsi's test suite, qemu-img and
// qemu-io. Every profile of logical unit is a tenant with a namespace of its own, all have
// the same address, and all are tested at once. The results are to be those of expected.tsv.
//
//	go run ./examples/iscsi-stub/suite            # what make check-iscsi runs
//	go run ./examples/iscsi-stub/suite -update    # and write expected.tsv and its page
//
// It wants the Debian packages libiscsi-bin, qemu-utils and qemu-block-extra, and runs
// without root where user namespaces are allowed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

const (
	here         = "examples/iscsi-stub/suite"
	expectedFile = here + "/expected.tsv"
	pageFile     = "docs/iscsi-conformance.md"
)

// options is the command line.
type options struct {
	update, race, page bool
	only, out          string
}

func main() {
	var o options
	flag.BoolVar(&o.update, "update", false, "write what comes out to "+expectedFile+" and "+pageFile)
	flag.BoolVar(&o.race, "race", true, "build the target with the race detector")
	flag.BoolVar(&o.page, "page", false, "write "+pageFile+" anew, and end")
	flag.StringVar(&o.only, "only", "", "run this `profile` alone, and compare nothing")
	flag.StringVar(&o.out, "out", "out/iscsi", "`directory` for logs")
	flag.Parse()
	if o.page {
		if err := writePage(); err != nil {
			fmt.Fprintln(os.Stderr, "suite:", err)
			os.Exit(1)
		}
		return
	}
	done, code, err := nstest.Reexec()
	if done {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

// run is the whole of it, from the root of the repository.
func run(ctx context.Context, o options) (err error) {
	for _, tool := range []string{"iscsi-test-cu", "iscsi-ls", "qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: install libiscsi-bin, qemu-utils and qemu-block-extra", err)
		}
	}
	expected, err := readResults(expectedFile)
	if err != nil && ((!o.update && o.only == "") || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	dir, err := makeDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	s, err := start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	got, err := s.runAll(ctx, o)
	if err != nil {
		return err
	}
	wrong, err := judge(o, expected, got)
	if err != nil {
		return err
	}
	if o.only == "" {
		wrong = slices.Concat(wrong, s.discover(ctx), s.qemu(ctx))
	}
	for _, line := range wrong {
		fmt.Println(line)
	}
	fmt.Printf("%d results, qemu's and iscsi-ls's, in %v\n", len(got), time.Since(began).Round(time.Second))
	if len(wrong) > 0 {
		return fmt.Errorf("%d results are not as expected; logs are in %s", len(wrong), o.out)
	}
	return nil
}

// writePage makes the page of the expected results.
func writePage() error {
	expected, err := readResults(expectedFile)
	if err != nil {
		return err
	}
	return os.WriteFile(pageFile, []byte(page(expected)), 0o644)
}

// makeDir prefers memory: what a disk takes its time for, other tests are about.
func makeDir() (string, error) {
	const pattern = "iscsi-suite-"
	if dir, err := os.MkdirTemp("/dev/shm", pattern); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", pattern)
}

// judge compares results with those that were expected, or makes them the expected ones.
func judge(o options, expected, got []result) ([]string, error) {
	switch {
	case o.only != "":
		for _, r := range got {
			fmt.Println(r.outcome, r.test, r.why)
		}
		return nil, nil
	case o.update:
		got = explained(expected, got)
		return nil, errors.Join(writeResults(expectedFile, got), writePage())
	}
	wrong := differences(expected, got)
	if text, err := os.ReadFile(pageFile); err != nil || string(text) != page(expected) {
		wrong = append(wrong, pageFile+" is not what -update makes of "+expectedFile)
	}
	return wrong, nil
}
