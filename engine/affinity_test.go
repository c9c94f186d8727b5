package engine

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A loop's thread went back to the scheduler's pool pinned to its CPU. What ran
// on it later was confined, child processes for good.
func TestShutdownUnpinsThreads(t *testing.T) {
	before := confined(t)
	e, err := New(Config{Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if n := confined(t) - before; n != 1 && len(allowedCPUs()) > 1 {
		t.Errorf("%d threads are pinned by an engine of one loop", n)
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := confined(t); n > before {
		t.Errorf("%d threads are still pinned", n-before)
	}
}

// confined counts the threads that may use fewer CPUs than the process.
func confined(t *testing.T) int {
	t.Helper()
	all := allowed(t, "/proc/self/status")
	paths, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		if cpus := allowed(t, path); cpus != "" && cpus != all {
			n++
		}
	}
	return n
}

// allowed is the CPUs that a thread may use, "" if it has ended.
func allowed(t *testing.T, status string) string {
	t.Helper()
	b, err := os.ReadFile(status)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if cpus, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return strings.TrimSpace(cpus)
		}
	}
	t.Fatalf("%s does not say", status)
	return ""
}
