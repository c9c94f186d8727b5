package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNotHere says that the current folder is not bench/, whose sources are built.
var ErrNotHere = errors.New("run this inside the folder bench: there is no c/load.c here")

// Build compiles the load and what the servers need into dir.
func Build(ctx context.Context, dir string, servers []Server) error {
	if _, err := os.Stat("c/load.c"); err != nil {
		return ErrNotHere
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := buildC(ctx, dir, "load"); err != nil {
		return err
	}
	built := map[string]bool{}
	for _, s := range servers {
		if built[s.Program] || filepath.IsAbs(s.Program) {
			continue
		}
		built[s.Program] = true
		build := buildGo
		if s.inC() {
			build = buildC
		}
		if err := build(ctx, dir, s.Program); err != nil {
			return err
		}
	}
	return nil
}

// buildC compiles one program of the folder c.
func buildC(ctx context.Context, dir, program string) error {
	source := filepath.Join("c", program+".c")
	return run(exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", filepath.Join(dir, program), source))
}

// buildGo compiles one program of the folder cmd.
func buildGo(ctx context.Context, dir, program string) error {
	return run(exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, program), "./cmd/"+program))
}

func run(cmd *exec.Cmd) error {
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return nil
}
