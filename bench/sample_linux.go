package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A sample is what a process has used up to a moment.
type sample struct {
	at      time.Time
	cpu     time.Duration // of all threads that are or were
	threads map[string]schedstat
	rssKB   int
}

// takeSample looks at a process. CPU time comes from its CPU clock, which counts in
// nanoseconds and keeps the time of threads that ended; the sum over schedstat does not.
func takeSample(pid int) (sample, error) {
	cpu, err := processCPU(pid)
	if err != nil {
		return sample{}, err
	}
	s := sample{at: time.Now(), cpu: cpu}
	if s.threads, err = readThreads(pid); err != nil {
		return sample{}, err
	}
	s.rssKB, err = readRSS(pid)
	return s, err
}

// processCPU reads another process's CPU clock: clock_getcpuclockid(3), which is
// arithmetic, and clock_gettime(2).
func processCPU(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED
	clock := int32(^pid)<<3 | schedClock
	var spent unix.Timespec
	if err := unix.ClockGettime(clock, &spent); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(spent.Nano()), nil
}

// readThreads reads the schedstat of each thread that a process has now.
func readThreads(pid int) (map[string]schedstat, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	threads := make(map[string]schedstat, len(entries))
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name(), "schedstat"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		if threads[entry.Name()], err = parseSchedstat(text); err != nil {
			return nil, err
		}
	}
	return threads, nil
}

// readRSS reads a process's resident memory in KiB from /proc/PID/status.
func readRSS(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(text, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("no VmRSS of process %d", pid)
	}
	return strconv.Atoi(string(fields[0]))
}
