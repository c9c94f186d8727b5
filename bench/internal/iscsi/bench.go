package iscsi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

// bench is what runs: servers in one namespace, each on a port of its own.
type bench struct {
	*Command
	dir     string // on tmpfs
	spaces  *lab.Namespaces
	servers []server
}

// errMissing says what has to be installed.
var errMissing = errors.New("not installed: make bench-peers installs it")

// find says which programs are missing.
func find(programs ...string) error {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s: %w", program, errMissing)
		}
	}
	return nil
}

func newBench(ctx context.Context, c *Command) (*bench, error) {
	if err := find("tgtd", "iscsi-perf", "qemu-img", "strace"); err != nil {
		return nil, err
	}
	b, err := newSite(c, 1)
	if err != nil {
		return nil, err
	}
	if err := b.open(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// newSite makes a bench of namespaces and a folder, and no servers yet.
func newSite(c *Command, spaces int) (_ *bench, err error) {
	b := &bench{Command: c}
	if b.dir, err = os.MkdirTemp("/dev/shm", "nsreactor-iscsi-"); err == nil {
		b.spaces, err = lab.NewNamespaces(spaces)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// open starts everything; what it has started is there to be closed even if it fails.
func (b *bench) open(ctx context.Context) error {
	for _, name := range []string{"tgtd", "iscsi-stub"} {
		if !slices.Contains(b.Servers, name) {
			continue
		}
		start := b.startTgtd
		if name == "iscsi-stub" {
			start = b.startStub
		}
		s, err := start(ctx)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, s)
	}
	return nil
}

func (b *bench) close() error {
	var err error
	for _, s := range b.servers {
		err = errors.Join(err, s.stop())
	}
	if b.spaces != nil {
		b.spaces.Close()
	}
	if b.dir != "" {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// A pair is a load on a server's disk.
type pair struct {
	server server
	disk   disk
	load   load
}

// pairs are all loads on all disks that they are for.
func (b *bench) pairs() []pair {
	var all []pair
	for _, k := range cases {
		for _, s := range b.servers {
			for _, d := range s.disks() {
				if k.null == (d.medium == "null") {
					all = append(all, pair{s, d, k})
				}
			}
		}
	}
	return all
}

// versions are those of rivals and clients, as far as they say.
func versions(ctx context.Context, programs ...string) []string {
	var all []string
	for _, program := range programs {
		out, err := exec.CommandContext(ctx, program, "--version").Output() //nolint:gosec // fixed
		if first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); err == nil {
			all = append(all, program+" "+first)
		}
	}
	return all
}
