package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// load is short, for tests.
const load = 200 * time.Millisecond

func newEngine(t *testing.T, cfg engine.Config) *engine.Engine {
	t.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	cfg.CheckThread = true
	eng, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return eng
}

// nothingLeft wants the directory gone that a demonstration has said it uses;
// mounts and the rest are TestMain's to check.
func nothingLeft(t *testing.T, progress string) {
	t.Helper()
	dir := regexp.MustCompile(`/\S+/nsreactor-demo-\d+`).FindString(progress)
	if dir == "" {
		t.Errorf("no directory is named in:\n%s", progress)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left; err %v", dir, err)
	}
}

func TestDemoPasses(t *testing.T) {
	for _, test := range []struct {
		tenants  int
		loops    int
		mode     string
		policy   engine.SwitchPolicy
		anywhere bool
		perEvent string // how many switches, as a regular expression
	}{
		{1, 1, "namespace", engine.SwitchOnChange, false, `\d\.\d\d`},
		{3, 1, "namespace", engine.SwitchOnChange, false, `\d\.\d\d`},
		{4, 2, "namespace", engine.SwitchOnChange, false, `\d\.\d\d`},
		{3, 2, "any", engine.SwitchOnChange, true, `0\.00`},
		{3, 2, "always", engine.SwitchAlways, false, `[12]\.\d\d`},
		{40, 0, "namespace", engine.SwitchOnChange, false, `\d\.\d\d`},
	} {
		t.Run(fmt.Sprintf("%d tenants, %s, %d loops", test.tenants, test.mode, test.loops), func(t *testing.T) {
			eng := newEngine(t, engine.Config{Loops: test.loops, Switch: test.policy, Accept: engine.AcceptSpread})
			var report, progress bytes.Buffer
			err := Run(t.Context(), eng, Config{
				Tenants: test.tenants, Port: 7, Mode: test.mode, Anywhere: test.anywhere, Load: load,
				Report: &report, Progress: &progress,
			})
			t.Log(progress.String() + report.String())
			if err != nil {
				t.Error(err)
			}
			checkReport(t, report.String(), test.tenants, test.mode, test.perEvent)
			nothingLeft(t, progress.String())
		})
	}
}

// checkReport looks for what a reader of the report wants to find in it.
func checkReport(t *testing.T, report string, tenants int, mode, perEvent string) {
	t.Helper()
	size := (&show{Config: Config{Tenants: tenants}}).crowdSize()
	reborn := "tenant-" + strconv.Itoa(tenants/2+1)
	for _, want := range []string{
		`(?m)^NAMESPACE +ID +CONNECTIONS +MESSAGES +BYTES IN +BYTES OUT +ERRORS$`,
		`(?m)^` + reborn + ` +\S+ +` + strconv.Itoa(size) + ` +[\d,]+ +[\d,]+ +[\d,]+ +0  deleted, drained, released$`,
		`(?m)^` + reborn + ` +\S+ +` + strconv.Itoa(size) + ` +[\d,]+ +[\d,]+ +[\d,]+ +0  made again under the same name$`,
		`(?m)^total +` + grouped(uint64(size*(tenants+1))) + ` +[\d,]+ +[\d,]+ +[\d,]+ +0$`,
		`(?m)^LOOP +CPU +EVENTS +SWITCHES +AVOIDED`,
		`(?m)^total +[\d,]+ +[\d,]+ +[\d,]+ +` + perEvent + ` .* mode ` + mode + `$`,
		`(?m)^ +[\d.]+ ms  released: the kernel confirms that \S+ is gone$`,
		`(?m)^PASS .*\b` + strconv.Itoa(tenants+1) + ` namespaces`,
	} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the report has nothing like %s", want)
		}
	}
	if mode == "any" && !regexp.MustCompile(`(?m)^total +[\d,]+ +0 `).MatchString(report) {
		t.Error("there were switches although the handler may be anywhere")
	}
}

// With port 0 each namespace has a port of its own.
func TestDemoPassesOnAnyPort(t *testing.T) {
	eng := newEngine(t, engine.Config{})
	var progress bytes.Buffer
	if err := Run(t.Context(), eng, Config{Tenants: 2, Load: load, Report: t.Output(), Progress: &progress}); err != nil {
		t.Error(err)
	}
	nothingLeft(t, progress.String())
}

// interrupter ends a demonstration when it says something.
type interrupter struct {
	io.Writer
	at     string
	cancel context.CancelFunc
}

func (i interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		i.cancel()
	}
	return i.Writer.Write(p)
}

func TestDemoLeavesNothingWhenInterrupted(t *testing.T) {
	for _, at := range []string{"making", "serving", "talking", "verified", "deleting", "served again"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			eng := newEngine(t, engine.Config{})
			var report, progress bytes.Buffer
			err := Run(ctx, eng, Config{
				Tenants: 3, Port: 7, Load: 600 * time.Millisecond, Report: &report, Progress: interrupter{&progress, at, cancel},
			})
			if !errors.Is(err, ErrInterrupted) {
				t.Errorf("err is %v", err)
			}
			if want := "FAIL interrupted; everything is cleaned up\n"; report.String() != want {
				t.Errorf("the report is %q, not %q", report.String(), want)
			}
			nothingLeft(t, progress.String())
		})
	}
}

// An engine that can serve nothing fails the demonstration, which says so.
func TestDemoFailsWhenEngineIsGone(t *testing.T) {
	eng := newEngine(t, engine.Config{})
	if err := eng.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var report, progress bytes.Buffer
	err := Run(t.Context(), eng, Config{Tenants: 1, Port: 7, Report: &report, Progress: &progress})
	if !errors.Is(err, engine.ErrStopped) || !strings.HasPrefix(report.String(), "FAIL ") {
		t.Errorf("err %v, report %q", err, report.String())
	}
	nothingLeft(t, progress.String())
}
