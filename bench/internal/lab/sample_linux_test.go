package lab

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// TestMeasureASpinningChild expects that a child which does nothing else has used what
// the clock says, from two sources that have to agree.
func TestMeasureASpinningChild(t *testing.T) {
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	before := mustMeasure(t, child.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		after := mustMeasure(t, child.Process.Pid)
		if after.CPU-before.CPU >= 50*time.Millisecond && after.Threads == 1 && after.Processes == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a spinning child used %v in 10 s: %+v", after.CPU-before.CPU, after)
		}
	}
	memory, err := MeasureMemory([]int{child.Process.Pid})
	if err != nil || memory.PSS <= 0 || memory.RSS < memory.PSS {
		t.Errorf("memory: got %+v, %v", memory, err)
	}
}

func mustMeasure(t *testing.T, pids ...int) Usage {
	t.Helper()
	u, err := Measure(pids)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestMeasureLeavesOutWhatHasEnded(t *testing.T) {
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if u, err := Measure([]int{child.Process.Pid}); err == nil {
		t.Errorf("no error for process %d alone, which has ended: %+v", child.Process.Pid, u)
	}
	if u := mustMeasure(t, os.Getpid(), child.Process.Pid); u.Processes != 1 {
		t.Errorf("got %+v, want one process", u)
	}
}

// TestSessionFindsGrandchildren: an approach that forks is measured with all it forked.
func TestSessionFindsGrandchildren(t *testing.T) {
	child := exec.Command("sh", "-c", "sleep 60 & echo; wait")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := Start(child, -1, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		pids, _ := Session(child.Process.Pid)
		for _, pid := range pids {
			if process, err := os.FindProcess(pid); err == nil {
				_ = process.Kill()
			}
		}
		_ = child.Wait()
	}()
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pids, err := Session(child.Process.Pid)
	if err != nil || len(pids) != 2 || pids[0] != child.Process.Pid || slices.Contains(pids, os.Getpid()) {
		t.Errorf("got %v, %v; want %d and its child", pids, err, child.Process.Pid)
	}
}
