package iscsi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A fleet is the servers of all tenants together.
type fleet struct {
	name    string
	servers []*process
}

func (f fleet) pids() []int {
	var all []int
	for _, p := range f.servers {
		all = append(all, p.pid())
	}
	return all
}

func (f fleet) stop() error {
	var err error
	for _, p := range f.servers {
		err = errors.Join(err, p.stop())
	}
	return err
}

// startTenants starts one process for all.
func (b *bench) startTenants(_ context.Context, count int) (fleet, error) {
	f := fleet{name: "iscsi-stub"}
	var config strings.Builder
	var names []string
	for i := range count {
		name := fmt.Sprintf("t%d", i)
		fmt.Fprintf(&config, "  - name: %s\n    namespaces: [%s]\n    volumes: [{name: v, size: 16MiB, thin: true}]\n"+
			"    targets: [{iqn: %q, luns: {1: v}}]\n", name, name, iqn)
		names = append(names, name)
	}
	s, err := b.runStub(config.String(), names...)
	if s != nil {
		f.servers = append(f.servers, &s.process)
	}
	return f, err
}

// startTgtds starts one for each namespace.
func (b *bench) startTgtds(ctx context.Context, count int) (fleet, error) {
	f := fleet{name: "tgtd"}
	for i := range count {
		p := &process{port: 3260}
		if err := b.start(p, b.socket(b.insideOf(context.Background(), i, "tgtd", "-f"), i)); err != nil {
			return f, err
		}
		f.servers = append(f.servers, p)
	}
	return f, inParallel(count, 4, func(i int) error { return b.configure(ctx, i, f.servers[i]) })
}

// socket is where the i-th tgtd is told what to do: in our folder, so that it goes with it.
func (b *bench) socket(cmd *exec.Cmd, i int) *exec.Cmd {
	cmd.Env = append(os.Environ(), fmt.Sprintf("TGT_IPC_SOCKET=%s/tgtd-%d", b.dir, i))
	return cmd
}

// configure gives a tgtd its target, with a file of as many bytes as a tenant of ours has.
func (b *bench) configure(ctx context.Context, i int, p *process) error {
	file := filepath.Join(b.dir, fmt.Sprintf("tgtd-%d.img", i))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		return err
	}
	admin := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "tgtadm", append([]string{"--lld", "iscsi", "--tid", "1", "--op"}, args...)...)
		return quiet(b.socket(cmd, i))
	}
	if err := p.until(ctx, func() error { return admin("new", "--mode", "target", "-T", iqn) }); err != nil {
		return err
	}
	return errors.Join(
		admin("new", "--mode", "logicalunit", "--lun", "1", "-b", file),
		admin("bind", "--mode", "target", "-I", "ALL"),
	)
}
