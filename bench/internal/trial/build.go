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
		for _, program := range s.Needs {
			if err := buildGo(ctx, dir, program); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildC compiles one program of the folder c.
func buildC(ctx context.Context, dir, program string) error {
	source := filepath.Join("c", program+".c")
	return into(filepath.Join(dir, program), func(target string) *exec.Cmd {
		return exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", target, source)
	})
}

// buildGo compiles one program of the folder cmd.
func buildGo(ctx context.Context, dir, program string) error {
	return into(filepath.Join(dir, program), func(target string) *exec.Cmd {
		return exec.CommandContext(ctx, "go", "build", "-o", target, "./cmd/"+program)
	})
}

// into runs a compiler and puts what it has made in its place at one stroke, since
// another run of bench may be about to start the program that is there.
func into(program string, compiler func(target string) *exec.Cmd) error {
	dir, err := os.MkdirTemp(filepath.Dir(program), "build-")
	if err != nil {
		return err
	}
	target := filepath.Join(dir, filepath.Base(program))
	cmd := compiler(target)
	cmd.Stderr = os.Stderr
	err = cmd.Run()
	if err != nil {
		err = fmt.Errorf("%v: %w", cmd.Args, err)
	} else {
		err = os.Rename(target, program)
	}
	return errors.Join(err, os.RemoveAll(dir))
}
