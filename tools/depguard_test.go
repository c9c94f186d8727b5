// Package tools holds what works on nsreactor and is no part of it.
package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/nsreactor/nsreactor/"

// TestDepguardRulesFire writes a module in which each file has one import,
// allowed or not, and asks golangci-lint with the project's configuration. A
// rule whose paths match nothing would otherwise look like a clean repository.
func TestDepguardRulesFire(t *testing.T) {
	const (
		unix = "golang.org/x/sys/unix"
		gnet = "github.com/panjf2000/gnet/v2"
	)
	imports := []struct {
		file, path string
		deny       string // what the finding says; empty where the import is fine
	}{
		{"poller/a.go", module + "nsctx", "poller knows descriptors"},
		{"poller/b.go", module + "engine", "poller knows descriptors"},
		{"poller/c_linux.go", module + "nsctx/nstest", "poller knows descriptors"},
		{"poller/a_test.go", module + "nsctx/nstest", ""},
		{"poller/b_test.go", module + "poller", ""},
		{"poller/c_test.go", module + "engine", "poller's tests"},

		{"nsctx/a.go", module + "poller", "nsctx knows namespaces"},
		{"nsctx/b.go", module + "engine", "nsctx knows namespaces"},
		{"nsctx/a_test.go", module + "nsctx/nstest", ""},
		{"nsctx/resolver/a.go", module + "nsctx", ""},
		{"nsctx/resolver/b.go", module + "engine", "nsctx knows namespaces"},
		{"nsctx/nstest/a.go", module + "nsctx", ""},
		{"nsctx/nstest/b.go", module + "poller", "nstest knows nsctx"},
		{"nsctx/nstest/c.go", module + "internal/memory", ""},
		{"nsctx/c.go", module + "internal/memory", "nsctx knows namespaces"},

		{"engine/a.go", module + "poller", ""},
		{"engine/b.go", module + "nsctx", ""},
		{"engine/l.go", module + "nsctx/resolver", ""},
		{"engine/c.go", module + "handlers", "engine imports poller and nsctx only"},
		{"engine/d.go", module + "metrics", "engine imports poller and nsctx only"},
		{"engine/e.go", module + "examples/echo/app", "engine imports poller and nsctx only"},
		{"engine/a_test.go", module + "nsctx/nstest", ""},
		{"engine/k.go", module + "internal/simulate", ""},
		{"engine/m.go", module + "internal/memory", ""},
		{"internal/simulate/a.go", module + "engine", "what is internal knows no other package"},

		{"handlers/a.go", module + "engine", ""},
		{"handlers/b.go", module + "nsctx", ""},
		{"handlers/c.go", module + "poller", "descriptors are the engine's business"},
		{"handlers/tls/a.go", module + "examples/echo/app", "examples use the packages"},
		{"handlers/handlertest/a.go", module + "internal/simulate", ""},
		{"handlers/handlertest/b.go", module + "poller", "descriptors are the engine's business"},
		{"handlers/h.go", module + "internal/simulate", "engine and handlertest meet here"},
		{"metrics/e.go", module + "internal/simulate", "engine and handlertest meet here"},
		{"metrics/a.go", module + "engine", ""},
		{"metrics/b.go", module + "poller", "descriptors are the engine's business"},
		{"metrics/c.go", module + "examples/echo/app", "examples use the packages"},
		{"examples/echo/app/a.go", module + "handlers", ""},

		{"examples/iscsi-stub/pdu/a.go", module + "handlers/framing", ""},
		{"examples/iscsi-stub/pdu/b.go", module + "engine", "pdu knows the layout"},
		{"examples/iscsi-stub/login/a.go", module + "examples/iscsi-stub/pdu", "login is pure"},
		{"examples/iscsi-stub/login/a_test.go", module + "nsctx/nstest", ""},
		{"examples/iscsi-stub/session/a.go", module + "engine", ""},
		{"examples/iscsi-stub/session/b.go", module + "examples/iscsi-stub/scsi", ""},
		{"examples/iscsi-stub/session/c.go", module + "examples/iscsi-stub/volume", "session knows no volumes"},
		{"examples/iscsi-stub/session/d.go", module + "examples/iscsi-stub/catalog", "session knows no volumes"},
		{"examples/iscsi-stub/scsi/a.go", module + "examples/iscsi-stub/volume", ""},
		{"examples/iscsi-stub/scsi/e.go", module + "examples/iscsi-stub/qos", ""},
		{"examples/iscsi-stub/scsi/b.go", module + "engine", "the volume core knows no sockets"},
		{"examples/iscsi-stub/scsi/c.go", "net", "the volume core knows no sockets"},
		{"examples/iscsi-stub/scsi/d.go", module + "examples/iscsi-stub/session", "the volume core knows no sockets"},
		{"examples/iscsi-stub/volume/a.go", module + "examples/iscsi-stub/scsi", "the volume core knows no sockets"},
		{"examples/iscsi-stub/volume/b.go", "net", "the volume core knows no sockets"},
		{"examples/iscsi-stub/catalog/a.go", module + "examples/iscsi-stub/volume", ""},
		{"examples/iscsi-stub/catalog/b.go", module + "engine", "the volume core knows no sockets"},
		{"examples/iscsi-stub/catalog/c.go", "net", "the volume core knows no sockets"},
		{"examples/iscsi-stub/qos/a.go", module + "examples/iscsi-stub/volume", "the volume core knows no sockets"},
		{"examples/iscsi-stub/qos/b.go", "net", "the volume core knows no sockets"},
		{"examples/iscsi-stub/initiator/a.go", module + "examples/iscsi-stub/pdu", ""},
		{"examples/iscsi-stub/initiator/b.go", module + "examples/iscsi-stub/session", "the other side of the wire"},
		{"examples/iscsi-stub/observe/a.go", module + "examples/iscsi-stub/session", ""},
		{"examples/iscsi-stub/observe/b.go", module + "examples/iscsi-stub/tenant", "observe sees what session tells"},
		{"examples/iscsi-stub/tenant/a.go", module + "examples/iscsi-stub/session", ""},
		{"examples/iscsi-stub/tenant/b.go", module + "examples/iscsi-stub/observe", "tenant knows who has what"},

		{"engine/f.go", gnet, "only handlers/gnethandler"},
		{"handlers/d.go", gnet, "only handlers/gnethandler"},
		{"examples/echo/app/b.go", gnet, "only handlers/gnethandler"},
		{"engine/g.go", gnet + "/pkg/buffer/elastic", ""},
		{"handlers/gnethandler/a.go", gnet, ""},
		{"docs/a_test.go", gnet, ""},
		{"docs/a.go", gnet, "only handlers/gnethandler"},
		{"handlers/gnethandler/b.go", module + "poller", "descriptors are the engine's business"},
		{"bench/peers/a.go", gnet, ""},

		{"engine/h.go", "go.uber.org/zap", "log with log/slog"},
		{"handlers/e.go", "github.com/sirupsen/logrus", "log with log/slog"},
		{"metrics/d.go", "github.com/rs/zerolog/log", "log with log/slog"},
		{"engine/i.go", "log/slog", ""},

		{"engine/j.go", "unsafe", "unsafe belongs in"},
		{"engine/b_test.go", "unsafe", "unsafe belongs in"},
		{"engine/a_linux.go", "unsafe", ""},
		{"engine/a_linux_test.go", "unsafe", ""},
		{"handlers/f.go", unix, "system calls belong in"},
		{"examples/echo/main.go", unix, "system calls belong in"},
		{"bench/peers/b.go", unix, "system calls belong in"},
		{"handlers/a_linux.go", unix, ""},
		{"handlers/a_test.go", unix, ""},
		{"handlers/a_linux_test.go", unix, ""},
		{"nsctx/c.go", "syscall", "system calls belong in"},
		{"nsctx/a_linux.go", "syscall", ""},
		{"nsctx/b_test.go", "syscall", ""},
		{"examples/iscsi-stub/main.go", "syscall", ""},
		{"handlers/g.go", "syscall", "system calls belong in"},
		{"bench/peers/c.go", "syscall", ""},
	}

	dir := t.TempDir()
	config, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".golangci.yml", string(config))
	writeImported(t, dir)
	for n, i := range imports {
		// A directory each, or poller and engine would import each other.
		imports[n].file = filepath.Join(filepath.Dir(i.file), fmt.Sprint("p", n), filepath.Base(i.file))
		write(t, dir, imports[n].file, fmt.Sprintf("package p\n\nimport _ %q\n", i.path))
	}

	found := depguard(t, dir)
	for _, i := range imports {
		got := found[i.file]
		delete(found, i.file)
		switch {
		case i.deny == "" && got != "":
			t.Errorf("%s may import %s, but: %s", i.file, i.path, got)
		case i.deny != "" && (!strings.Contains(got, i.path) || !strings.Contains(got, i.deny)):
			t.Errorf("%s imports %s: got finding %q, want one that says %q", i.file, i.path, got, i.deny)
		}
	}
	for file, text := range found {
		t.Errorf("unexpected finding in %s: %s", file, text)
	}
}

// writeImported writes a go.mod and, empty, every package that the test imports.
// The linter stays silent about a package whose imports it cannot find.
func writeImported(t *testing.T, dir string) {
	t.Helper()
	const empty = "package p\n"
	mod := "module " + strings.TrimSuffix(module, "/") + "\n\ngo 1.26.0\n"
	for _, pkg := range []string{
		"poller", "nsctx", "nsctx/nstest", "nsctx/resolver", "engine", "handlers", "handlers/framing", "metrics", "examples/echo/app", "internal/simulate", "internal/memory",
		"examples/iscsi-stub/catalog", "examples/iscsi-stub/observe", "examples/iscsi-stub/pdu", "examples/iscsi-stub/qos", "examples/iscsi-stub/scsi", "examples/iscsi-stub/session",
		"examples/iscsi-stub/tenant", "examples/iscsi-stub/volume",
	} {
		write(t, dir, pkg+"/doc.go", empty)
	}
	for path, m := range map[string]struct{ version, pkg string }{
		"github.com/panjf2000/gnet/v2": {"v2.0.0", "pkg/buffer/elastic"},
		"github.com/rs/zerolog":        {"v1.0.0", "log"},
		"github.com/sirupsen/logrus":   {"v1.0.0", ""},
		"go.uber.org/zap":              {"v1.0.0", ""},
		"golang.org/x/sys":             {"v0.0.0", "unix"},
	} {
		at := filepath.Join("stub", path)
		mod += fmt.Sprintf("\nrequire %s %s\nreplace %s => ./%s\n", path, m.version, path, filepath.ToSlash(at))
		write(t, dir, filepath.Join(at, "go.mod"), "module "+path+"\n\ngo 1.26.0\n")
		write(t, dir, filepath.Join(at, "doc.go"), empty)
		write(t, dir, filepath.Join(at, m.pkg, "doc.go"), empty)
	}
	write(t, dir, "go.mod", mod)
}

// depguard runs golangci-lint's depguard alone in dir and returns what it says of each file.
func depguard(t *testing.T, dir string) map[string]string {
	t.Helper()
	linter, err := exec.Command("go", "tool", "-n", "golangci-lint").Output()
	if err != nil {
		t.Fatalf("find golangci-lint: %v", err)
	}
	cmd := exec.Command(strings.TrimSpace(string(linter)), "run", "--enable-only", "depguard", "--output.json.path", "stdout", "--show-stats=false", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("golangci-lint: %v\n%s", err, stderr.String())
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("golangci-lint's report: %v\n%s%s", err, out, stderr.String())
	}
	found := make(map[string]string)
	for _, i := range report.Issues {
		if i.FromLinter == "depguard" {
			found[filepath.ToSlash(i.Pos.Filename)] += i.Text
		}
	}
	return found
}

// write makes the file dir/name with content, and its directory.
func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
