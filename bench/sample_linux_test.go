package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestSampleOfASpinningChild compares the two sources of CPU time on a process with a
// single thread, where they have to agree.
func TestSampleOfASpinningChild(t *testing.T) {
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	before := mustSample(t, child.Process.Pid)
	time.Sleep(300 * time.Millisecond)
	after := mustSample(t, child.Process.Pid)

	clock := after.cpu - before.cpu
	sum := time.Duration(since(before.threads, after.threads).run)
	if clock <= 0 || (clock-sum).Abs() > 20*time.Millisecond {
		t.Errorf("CPU clock %v, schedstat %v", clock, sum)
	}
	if after.rssKB <= 0 {
		t.Errorf("resident memory: %d KiB", after.rssKB)
	}
}

func mustSample(t *testing.T, pid int) sample {
	t.Helper()
	s, err := takeSample(pid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSampleOfNoProcessFails(t *testing.T) {
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := takeSample(child.Process.Pid); err == nil {
		t.Errorf("no error for process %d, which has ended", child.Process.Pid)
	}
	if _, err := takeSample(os.Getpid()); err != nil {
		t.Errorf("own process: %v", err)
	}
}
