package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// build compiles what the servers need into dir, and returns those whose program is
// there. A Go server that does not compile is left out, so that work in progress on
// one does not stop the measurement of the others.
func build(ctx context.Context, dir string, servers []server) ([]server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, program := range []string{"echo", "load"} {
		if err := buildC(ctx, dir, program); err != nil {
			return nil, err
		}
	}
	built := map[string]bool{"echo": true}
	var usable []server
	for _, s := range servers {
		done, tried := built[s.program]
		if !tried && !filepath.IsAbs(s.program) {
			done = buildGo(ctx, dir, s.program)
			built[s.program] = done
		}
		if done || filepath.IsAbs(s.program) {
			usable = append(usable, s)
		}
	}
	return usable, nil
}

// buildC compiles one program of the folder c.
func buildC(ctx context.Context, dir, program string) error {
	source := filepath.Join("c", program+".c")
	cmd := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-Wextra", "-o", filepath.Join(dir, program), source)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile %s: %w", source, err)
	}
	return nil
}

// buildGo compiles one program of the folder cmd and reports whether that worked.
func buildGo(ctx context.Context, dir, program string) bool {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, program), "./cmd/"+program)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		log.Printf("leaving %s out: %v", program, err)
		return false
	}
	return true
}
