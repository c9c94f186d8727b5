package iscsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/lab"
)

const (
	iqn      = "iqn.2026-01.com.example:bench"
	address  = "127.0.0.1"
	patience = 10 * time.Second // for a server to answer
	size     = 256 << 20        // of a volume, bytes
)

// A disk is a volume of a server.
type disk struct {
	medium string // "memory", "file" or "null"
	lun    int
}

// A server is a target that runs.
type server interface {
	name() string
	disks() []disk
	url(lun int) string
	pid() int
	stop() error
}

// process is what servers have in common.
type process struct {
	cmd    *exec.Cmd
	said   bytes.Buffer
	port   int
	exited chan error
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) url(lun int) string {
	return fmt.Sprintf("iscsi://%s:%d/%s/%d", address, p.port, iqn, lun)
}

// start starts a server on its CPU.
func (b *bench) start(p *process, cmd *exec.Cmd) error {
	p.cmd = cmd
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.exited = make(chan error, 1)
	if err := lab.Start(p.cmd, b.ServerCPU, b.Nice); err != nil {
		return err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return nil
}

// until tries until it works, or the server has ended.
func (p *process) until(ctx context.Context, try func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.exited:
			p.exited <- ended
			return fmt.Errorf("%v ended: %w: %s", p.cmd.Args, errors.Join(ended, err), p.said.Bytes())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%v does not answer: %w", p.cmd.Args, err)
		}
	}
}

// stop ends a server at once: tgtd does not listen to SIGTERM while it has targets.
func (p *process) stop() error {
	err := p.cmd.Process.Kill()
	<-p.exited //nolint:errcheck // killed, as it was meant to be
	return err
}

// quiet runs a command that says something only if it fails.
func quiet(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, bytes.TrimSpace(out))
	}
	return nil
}

// tgtd is Debian's target: a file on tmpfs, which is its memory volume too, and null.
type tgtd struct {
	process
	control string
}

func (*tgtd) name() string  { return "tgtd" }
func (*tgtd) disks() []disk { return []disk{{"file", 1}, {"null", 2}} }

// startTgtd starts one with a control port of its own, so that it meets no other.
func (b *bench) startTgtd(ctx context.Context) (server, error) {
	s := &tgtd{process{port: 3261}, strconv.Itoa(os.Getpid()%20000 + 10000)}
	file := filepath.Join(b.dir, "tgtd.img")
	if err := makeFile(file); err != nil {
		return nil, err
	}
	err := b.start(&s.process, b.inside(context.Background(), "tgtd", "-f", "-C", s.control, "--iscsi", fmt.Sprintf("portal=%s:%d", address, s.port)))
	if err != nil {
		return nil, err
	}
	admin := func(args ...string) error {
		return quiet(exec.CommandContext(ctx, "tgtadm", append([]string{"-C", s.control, "--lld", "iscsi", "--tid", "1", "--op"}, args...)...))
	}
	err = s.until(ctx, func() error { return admin("new", "--mode", "target", "-T", iqn) })
	for _, step := range [][]string{
		{"new", "--mode", "logicalunit", "--lun", "1", "-b", file},
		{"new", "--mode", "logicalunit", "--lun", "2", "--bstype", "null", "-b", "/dev/null"},
		{"bind", "--mode", "target", "-I", "ALL"},
	} {
		if err == nil {
			err = admin(step...)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// makeFile makes a file whose blocks are all there.
func makeFile(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	part := bytes.Repeat([]byte{0xA5}, 1<<20)
	for range size / len(part) {
		if _, err = file.Write(part); err != nil {
			break
		}
	}
	return errors.Join(err, file.Close())
}

// stub is ours, with one loop.
type stub struct{ process }

func (*stub) name() string { return "iscsi-stub" }
func (*stub) disks() []disk {
	return []disk{{"memory", 1}, {"file", 2}, {"null", 3}}
}

const tenants = `  - name: bench
    namespaces: [bench]
    volumes:
      - {name: memory, size: 256MiB, kind: memory}
      - {name: file, size: 256MiB}
      - {name: none, size: 256MiB, kind: "null"}
    targets:
      - iqn: %s
        luns: {1: memory, 2: file, 3: none}
`

// program is ours.
func (b *bench) program() string { return filepath.Join(b.dir, "iscsi-stub") }

// build builds it, out of the module around bench.
func (b *bench) build(ctx context.Context) error {
	return quiet(exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", b.program(), "./examples/iscsi-stub")) //nolint:gosec // fixed
}

// runStub starts one that serves as many namespaces as there are names.
func (b *bench) runStub(config string, names ...string) (*stub, error) {
	file, spaces := filepath.Join(b.dir, "tenants.yaml"), filepath.Join(b.dir, "netns")
	err := errors.Join(
		os.WriteFile(file, []byte("data: "+filepath.Join(b.dir, "data")+"\ntenants:\n"+config), 0o600),
		os.MkdirAll(filepath.Join(b.dir, "data"), 0o700),
		os.MkdirAll(spaces, 0o700),
	)
	for i, name := range names {
		linkErr := os.Symlink(b.spaces.Path(i), filepath.Join(spaces, name))
		if !errors.Is(linkErr, fs.ErrExist) { // of one that ran before
			err = errors.Join(err, linkErr)
		}
	}
	if err != nil {
		return nil, err
	}
	s := &stub{process{port: 3260}}
	return s, b.start(&s.process, b.inside(context.Background(), b.program(), "-config", file, "-netns-dir", spaces, "-loops", "1"))
}

// startStub starts one. Volumes are written once, as tgtd's file is.
func (b *bench) startStub(ctx context.Context) (server, error) {
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	s, err := b.runStub(fmt.Sprintf(tenants, iqn), "bench")
	if err != nil {
		return nil, err
	}
	err = s.until(ctx, func() error { return quiet(b.inside(ctx, "iscsi-inq", s.url(1))) })
	for _, d := range s.disks()[:2] {
		if err == nil {
			fill := load{block: 1 << 20, depth: 4, writes: true, ios: size >> 20}
			_, err = b.load(ctx, pair{s, d, fill}, fill.ios)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}
