package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHistogram runs c/hist_test.c.
func TestHistogram(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	program := filepath.Join(t.TempDir(), "hist_test")
	output, err := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, "c/hist_test.c").CombinedOutput()
	if err != nil {
		t.Fatalf("compile: %v\n%s", err, output)
	}
	if output, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
