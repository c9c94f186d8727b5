package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The demonstration's tenants. They have the same address, names of targets and volumes, and
// nothing else in common.
const demoTenants = `data: data
tenants:
- name: blue
  namespaces: blue
  volumes: [{name: disk, size: 64MiB}, {name: archive, size: 64MiB}]
  targets:
  - {iqn: "iqn.2026-01.com.example:disk", luns: {0: disk}}
  - iqn: iqn.2026-01.com.example:archive
    luns: {0: archive}
    chap:
      users: {user: ann, secret: what-only-ann-knows}
      target: {user: archive, secret: what-archive-knows}
- name: red
  namespaces: red
  volumes: [{name: disk, size: 64MiB}, {name: more, size: 32MiB}]
  targets:
  - {iqn: "iqn.2026-01.com.example:disk", luns: {0: disk}}
`

const (
	diskName    = "iqn.2026-01.com.example:disk"
	archiveName = "iqn.2026-01.com.example:archive"
)

// demo is a demonstration while it runs.
type demo struct {
	cfg    config
	stdout io.Writer
	dir    string
	lab    *nstest.Lab
	reload chan os.Signal

	blue, red *nstest.Tenant
	sessions  []*initiator.Session
}

// demonstrate is -demo. Without the privilege to make namespaces, the program runs again as
// the root of a user namespace.
func demonstrate(ctx context.Context, cfg config, stdout, stderr io.Writer) int {
	done, code, err := nstest.Reexec()
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "iscsi-stub: -demo makes namespaces:", err)
		return 1
	case done:
		return code
	}
	d := &demo{cfg: cfg, stdout: stdout, reload: make(chan os.Signal, 1)}
	err = d.run(ctx, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stdout, "FAIL interrupted; everything is cleaned up")
	case err != nil:
		fmt.Fprintln(stdout, "FAIL", err)
	default:
		fmt.Fprintln(stdout, "PASS each tenant saw its own, and nothing of the other's")
		return 0
	}
	return 1
}

// run makes the tenants, serves them, gives the demonstration, and cleans up.
func (d *demo) run(ctx context.Context, log *slog.Logger) (err error) {
	if err := d.prepare(); err != nil {
		return errors.Join(err, d.cleanUp())
	}
	defer func() { err = errors.Join(err, d.cleanUp()) }()
	serving, stop := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	d.cfg.ready = func() { close(ready) }
	go func() { ended <- serve(serving, d.cfg, log, d.reload) }()
	defer func() {
		d.hangUp()
		stop()
		if ended != nil {
			err = errors.Join(err, <-ended)
		}
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended = nil
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // met by a hang only
	defer cancel()
	return d.acts(ctx)
}

// prepare makes a directory with the tenants file and the namespaces. It prefers /run: where the
// program is root of a user namespace, that is a file system of its own, which goes with it.
func (d *demo) prepare() (err error) {
	const pattern = "iscsi-stub-demo-"
	if d.dir, err = os.MkdirTemp("/run", pattern); err != nil {
		if d.dir, err = os.MkdirTemp("", pattern); err != nil {
			return err
		}
	}
	d.cfg.file = filepath.Join(d.dir, "tenants.yaml")
	if err := os.WriteFile(d.cfg.file, []byte(demoTenants), 0o600); err != nil {
		return err
	}
	if d.lab, err = nstest.NewLab(filepath.Join(d.dir, "netns")); err != nil {
		return err
	}
	d.cfg.dir, d.cfg.netns, d.cfg.home = d.lab.Dir(), "*", false
	if d.blue, err = d.lab.Add("blue"); err != nil {
		return err
	}
	d.red, err = d.lab.Add("red")
	return err
}

func (d *demo) hangUp() {
	for _, s := range d.sessions {
		_ = s.Close() // it may have been logged out
	}
}

func (d *demo) cleanUp() error {
	var err error
	if d.lab != nil {
		err = d.lab.Close()
	}
	if d.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

// acts are the demonstration proper.
func (d *demo) acts(ctx context.Context) error {
	d.say("", "two namespaces, blue and red, both with the address %v; one process, one port", d.blue.Addr4)
	for _, act := range []func(context.Context) error{d.discover, d.trespass, d.authenticate, d.write, d.reserve, d.change} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) say(who, format string, args ...any) {
	fmt.Fprintf(d.stdout, "%-5s %s\n", who, fmt.Sprintf(format, args...))
}

// open logs in from a tenant's side of the wire.
func (d *demo) open(ctx context.Context, t *nstest.Tenant, cfg initiator.Config) (*initiator.Session, error) {
	conn, err := t.Dial(ctx, "tcp", d.cfg.port)
	if err != nil {
		return nil, err
	}
	if cfg.Initiator == "" {
		cfg.Initiator = "iqn.2026-01.com.example:host"
	}
	s, err := initiator.Open(ctx, conn, cfg)
	if err != nil {
		return nil, err
	}
	d.sessions = append(d.sessions, s)
	return s, nil
}

func (d *demo) discover(ctx context.Context) error {
	for _, t := range []*nstest.Tenant{d.blue, d.red} {
		s, err := d.open(ctx, t, initiator.Config{})
		if err != nil {
			return err
		}
		targets, err := s.SendTargets(ctx, "All")
		if err != nil {
			return err
		}
		for _, found := range targets {
			d.say(t.Name, "discovers %s at %v", found.Name, found.Addresses)
		}
		if want := map[string]int{"blue": 2, "red": 1}[t.Name]; len(targets) != want {
			return fmt.Errorf("%s discovers %d targets, not %d", t.Name, len(targets), want)
		}
		if err := s.Logout(ctx); err != nil {
			return err
		}
	}
	return nil
}

// refused wants a login to be refused.
func (d *demo) refused(ctx context.Context, t *nstest.Tenant, what string, cfg initiator.Config) error {
	_, err := d.open(ctx, t, cfg)
	var refusal *initiator.LoginError
	if !errors.As(err, &refusal) {
		return fmt.Errorf("%s %s: %w", t.Name, what, letIn(err))
	}
	d.say(t.Name, "%s: %v", what, refusal)
	return nil
}

// letIn is an error also where there is none, and should be.
func letIn(err error) error {
	if err == nil {
		return errors.New("that was let in")
	}
	return err
}

func (d *demo) trespass(ctx context.Context) error {
	return d.refused(ctx, d.red, "logs in to blue's archive by its name", initiator.Config{
		Target: archiveName, CHAP: &initiator.CHAP{Name: "ann", Secret: "what-only-ann-knows"},
	})
}

func (d *demo) authenticate(ctx context.Context) error {
	if err := d.refused(ctx, d.blue, "logs in to it with a wrong secret", initiator.Config{
		Target: archiveName, CHAP: &initiator.CHAP{Name: "ann", Secret: "what-bob-thought"},
	}); err != nil {
		return err
	}
	s, err := d.open(ctx, d.blue, initiator.Config{Target: archiveName, CHAP: &initiator.CHAP{
		Name: "ann", Secret: "what-only-ann-knows", PeerName: "archive", PeerSecret: "what-archive-knows",
	}})
	if err != nil {
		return err
	}
	d.say("blue", "logs in to it with CHAP both ways")
	return s.Logout(ctx)
}

const blocks = 128 // of 512 bytes

func pattern(tenant string) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%-16s", tenant)), blocks*512/16)
}

// write has both write to the same place of the same volume, then read it.
func (d *demo) write(ctx context.Context) error {
	for _, t := range []*nstest.Tenant{d.blue, d.red} {
		s, err := d.open(ctx, t, initiator.Config{Target: diskName})
		if err != nil {
			return err
		}
		if err := s.Ready(ctx, initiator.LUN(0)); err != nil {
			return err
		}
		if _, err := s.Do(ctx, initiator.Write(initiator.LUN(0), 0, pattern(t.Name), 512)); err != nil {
			return err
		}
		d.say(t.Name, "writes %q over blocks 0 to %d of %s", t.Name, blocks-1, diskName)
	}
	for _, t := range []*nstest.Tenant{d.blue, d.red} {
		s, err := d.open(ctx, t, initiator.Config{Target: diskName})
		if err != nil {
			return err
		}
		if err := s.Ready(ctx, initiator.LUN(0)); err != nil {
			return err
		}
		r, err := s.Do(ctx, initiator.Read(initiator.LUN(0), 0, blocks*512, 512))
		if err != nil {
			return err
		}
		if !bytes.Equal(r.In, pattern(t.Name)) {
			return fmt.Errorf("%s reads %q", t.Name, r.In[:16])
		}
		d.say(t.Name, "reads %q back, every byte", bytes.TrimSpace(r.In[:16]))
	}
	return nil
}

// reserve has one of blue's initiators reserve the disk (SPC-4, 6.14): blue's other one may not
// write then, and red may.
func (d *demo) reserve(ctx context.Context) error {
	first, second, red := d.sessions[len(d.sessions)-4], d.sessions[len(d.sessions)-2], d.sessions[len(d.sessions)-1]
	const register, reserve, release = 0, 1, 2
	const key = 0xB10E
	if err := persistentReserve(ctx, first, register, 0, key); err != nil {
		return err
	}
	if err := persistentReserve(ctx, first, reserve, key, 0); err != nil {
		return err
	}
	d.say("blue", "one initiator reserves the disk for its writes")
	_, err := second.Do(ctx, initiator.Write(initiator.LUN(0), 0, pattern("blue"), 512))
	var status *initiator.StatusError
	if !errors.As(err, &status) || status.Status != initiator.ReservationConflict {
		return fmt.Errorf("blue's second initiator writes: %w", letIn(err))
	}
	d.say("blue", "another one writes: RESERVATION CONFLICT")
	if _, err := red.Do(ctx, initiator.Write(initiator.LUN(0), 0, pattern("red"), 512)); err != nil {
		return fmt.Errorf("red writes to its own disk: %w", err)
	}
	d.say("red", "writes to its disk of the same name: GOOD")
	return persistentReserve(ctx, first, release, key, 0)
}

// persistentReserve is PERSISTENT RESERVE OUT, of the type write exclusive.
func persistentReserve(ctx context.Context, s *initiator.Session, action byte, key, newKey uint64) error {
	const writeExclusive = 1
	out := make([]byte, 24)
	for i := range 8 {
		out[i], out[8+i] = byte(key>>(56-8*i)), byte(newKey>>(56-8*i))
	}
	cdb := []byte{0x5F, action, writeExclusive, 0, 0, 0, 0, 0, byte(len(out)), 0}
	_, err := s.Do(ctx, initiator.Command{LUN: initiator.LUN(0), CDB: cdb, Out: out})
	return err
}

// attention waits for a unit attention condition.
func attention(ctx context.Context, s *initiator.Session) (*initiator.StatusError, error) {
	for {
		err := s.TestUnitReady(ctx, initiator.LUN(0))
		var status *initiator.StatusError
		switch {
		case errors.As(err, &status):
			return status, nil
		case err != nil:
			return nil, err
		}
		time.Sleep(time.Millisecond)
	}
}

// change gives red another logical unit while all sessions go on.
func (d *demo) change(ctx context.Context) error {
	blue, red := d.sessions[len(d.sessions)-2], d.sessions[len(d.sessions)-1]
	const end = "{0: disk}}\n" // of red's target
	text := strings.TrimSuffix(demoTenants, end) + "{0: disk, 1: more}}\n"
	if err := os.WriteFile(d.cfg.file, []byte(text), 0o600); err != nil {
		return err
	}
	d.reload <- os.Interrupt // any will do
	d.say("", "SIGHUP: the tenants file has another volume for red")
	told, err := attention(ctx, red)
	if err != nil {
		return err
	}
	d.say("red", "is told: %v", scsi.Code(told.Sense.ASC)<<8|scsi.Code(told.Sense.ASCQ))
	if err := red.Ready(ctx, initiator.LUN(1)); err != nil {
		return err
	}
	capacity, err := red.ReadCapacity(ctx, initiator.LUN(1))
	if err != nil {
		return err
	}
	d.say("red", "finds LUN 1 with %d blocks, in the session that it has", capacity.Blocks)
	if err := blue.TestUnitReady(ctx, initiator.LUN(0)); err != nil {
		return fmt.Errorf("blue: %w", err)
	}
	d.say("blue", "notices nothing")
	return nil
}
