package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// Some tests need a process of their own: one that lacks a capability or
// descriptors. It is this program again, which then runs one of these and
// nothing else.
var processes = map[string]func(dir string) error{
	"unprivileged": unprivileged,
	"descriptors":  fewDescriptors,
	"unlocked":     unlocked,
}

const (
	processEnv = "NSREACTOR_TEST_PROCESS"
	labEnv     = "NSREACTOR_TEST_LAB"
)

func init() {
	name := os.Getenv(processEnv)
	if name == "" {
		return
	}
	if err := processes[name](os.Getenv(labEnv)); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runProcess runs a function of processes, without some capabilities.
func runProcess(t *testing.T, name, dir string, without ...uintptr) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(hanging(t), exe)
	cmd.Env = append(os.Environ(), processEnv+"="+name, labEnv+"="+dir)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	must(t, startWithout(cmd, without))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, output.String())
	}
}

// startWithout takes capabilities out of the bounding set of a thread, which
// the process inherits, and which ends with it.
func startWithout(cmd *exec.Cmd, capabilities []uintptr) error {
	if len(capabilities) == 0 {
		return cmd.Start()
	}
	result := make(chan error)
	go func() {
		if err := nsctx.RunLocked(func(*nsctx.Thread) { // not on the main thread
			runtime.LockOSThread() // once more, so that the thread dies
			for _, c := range capabilities {
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
					result <- os.NewSyscallError("prctl", err)
					return
				}
			}
			result <- cmd.Start()
		}); err != nil {
			result <- err
		}
	}()
	return <-result
}

// processEngine is an engine outside of a test.
func processEngine(cfg engine.Config, h engine.Handler, port int) (*engine.Engine, error) {
	cfg.CheckThread = true
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	eng, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	return eng, eng.Handle("tcp", port, h)
}

// inTime polls, as eventually does.
func inTime(what string, happened func() bool) error {
	for deadline := time.Now().Add(hang / 2); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("never: %s", what)
		}
	}
	return nil
}

// whoIn asks one question in a namespace.
func whoIn(ns *nsctx.Namespace, port int) (string, error) {
	conn, err := (&nstest.Tenant{NS: ns}).DialLocal(context.Background(), "tcp", port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return newCaller(conn).try("who")
}

// The promise: a namespace that may not be entered is a typed error that says
// so, counted where nobody waits for it, and home is served all the same.
func TestWithoutPermission(t *testing.T) {
	lab := nstest.New(t)
	lab.MustAddBare(t, "a")
	runProcess(t, "unprivileged", lab.Dir(), unix.CAP_SYS_ADMIN)
}

func unprivileged(dir string) error {
	w := new(witness)
	eng, err := processEngine(engine.Config{Loops: 2}, w, 0)
	if err != nil {
		return err
	}
	_, err = eng.Attach(nsctx.ByPath(filepath.Join(dir, "a")))
	var typed *engine.Error
	if !errors.Is(err, fs.ErrPermission) || !errors.Is(err, syscall.EPERM) || !errors.Is(err, engine.ErrSwitch) ||
		!errors.As(err, &typed) || typed.Namespace != "a" {
		return fmt.Errorf("Attach without CAP_SYS_ADMIN: %w", err)
	}
	homeNS, err := nsctx.Home().Open()
	if err != nil {
		return err
	}
	home, err := eng.Attach(nsctx.Home())
	if err != nil {
		return fmt.Errorf("Attach(Home): %w", err)
	}
	served := func() error {
		if got, err := whoIn(homeNS, home.Port("tcp", 0)); got != homeNS.ID().String()+" " || err != nil {
			return fmt.Errorf("home is served as %q, %w", got, err)
		}
		return nil
	}
	if err := served(); err != nil {
		return err
	}
	if err := eng.Watch(dir); err != nil {
		return fmt.Errorf("Watch: %w", err)
	}
	if n := eng.Stats().AttachErrors; n == 0 {
		return errors.New("not counted")
	}
	if err := inTime("tried again", func() bool { return eng.Stats().AttachErrors > 1 }); err != nil {
		return err
	}
	if all := eng.Namespaces(); len(all) != 1 || all[0] != home {
		return fmt.Errorf("attached: %v", all)
	}
	if err := served(); err != nil {
		return err
	}
	return eng.Shutdown(context.Background())
}

// The promise: where descriptors run out, Attach says so and what the limit
// is; a watch serves what it can, and the rest when there is room again.
func TestTooFewDescriptors(t *testing.T) {
	lab := nstest.New(t)
	for i := range 40 {
		lab.MustAddBare(t, fmt.Sprintf("t%02d", i))
	}
	runProcess(t, "descriptors", lab.Dir())
}

func fewDescriptors(dir string) error {
	const limit = 60
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	eng, err := processEngine(engine.Config{Loops: 1}, new(witness), lifePort)
	if err != nil {
		return err
	}
	if err := eng.Watch(dir, engine.Match("nothing")); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(dir, "t*"))
	if err != nil {
		return err
	}
	var last *engine.Namespace
	attached := 0
	for _, name := range names {
		ns, err := eng.Attach(nsctx.ByPath(name))
		if err == nil {
			attached++
			last = ns
			continue
		}
		var typed *engine.Error
		if !errors.Is(err, engine.ErrDescriptors) || !errors.Is(err, syscall.EMFILE) || !errors.As(err, &typed) ||
			typed.Namespace != filepath.Base(name) || !strings.Contains(err.Error(), "limit is 60") {
			return fmt.Errorf("Attach without descriptors: %w", err)
		}
	}
	if attached < 5 || attached == len(names) {
		return fmt.Errorf("%d of %d attached", attached, len(names))
	}
	if n := len(eng.Namespaces()); n != attached {
		return fmt.Errorf("%d listed, %d attached", n, attached)
	}
	// With room for one, that one is attached again.
	if err := eng.Detach(context.Background(), last); err != nil {
		return err
	}
	if _, err := eng.Attach(nsctx.ByPath(names[len(names)-1])); err != nil {
		return fmt.Errorf("Attach with room again: %w", err)
	}
	// The watch wants them all. It gets them as names go.
	if err := eng.Watch(dir); err != nil {
		return err
	}
	if eng.Stats().AttachErrors == 0 {
		return errors.New("nothing that a watch could not attach was counted")
	}
	keep := names[:10]
	for _, name := range names[10:] {
		if err := errors.Join(unix.Unmount(name, unix.MNT_DETACH), os.Remove(name)); err != nil {
			return err
		}
	}
	if err := inTime("those that are left are served", func() bool {
		served := 0
		for _, ns := range eng.Stats().Namespaces {
			if ns.State == engine.StateServing && ns.Listeners[0].Err == nil {
				served++
			}
		}
		return served == len(keep)
	}); err != nil {
		return fmt.Errorf("%w: %+v", err, eng.Stats().Namespaces)
	}
	return eng.Shutdown(context.Background())
}
