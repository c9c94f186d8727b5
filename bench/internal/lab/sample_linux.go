package lab

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

// Usage is what the processes of a session have used up to a moment.
type Usage struct {
	At        time.Time
	CPU       time.Duration // of all threads that are or were, of processes that still are
	Wait      time.Duration // of threads that still are: runnable, but not running
	Switches  uint64        // context switches, voluntary and not, of threads that still are
	Processes int
	Threads   int
}

// Measure looks at processes. CPU time comes from their CPU clocks, which count in
// nanoseconds and keep the time of threads that have ended. A process that has ended
// is left out; if all have, that is an error.
func Measure(pids []int) (Usage, error) {
	u := Usage{At: time.Now()}
	for _, pid := range pids {
		cpu, err := processCPU(pid)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESRCH) {
			continue // no such process any more
		}
		if err != nil {
			return u, err
		}
		u.CPU += cpu
		u.Processes++
		if err := u.addThreads(pid); err != nil {
			return u, err
		}
	}
	if u.Processes == 0 {
		return u, fmt.Errorf("none of the processes %v is there", pids)
	}
	return u, nil
}

// addThreads adds up what the kernel says of each thread of a process.
func (u *Usage) addThreads(pid int) error {
	return eachThread(pid, func(dir string) error {
		text, err := os.ReadFile(filepath.Join(dir, "schedstat"))
		if err != nil {
			return err
		}
		stat, err := parseSchedstat(text)
		if err != nil {
			return err
		}
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			return err
		}
		u.Wait += time.Duration(stat.wait)
		u.Switches += statusNumber(status, "voluntary_ctxt_switches:") + statusNumber(status, "nonvoluntary_ctxt_switches:")
		u.Threads++
		return nil
	})
}

// eachThread calls f with the directory of each thread that a process has now. A thread
// that ends meanwhile is passed over.
func eachThread(pid int, f func(dir string) error) error {
	root := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(root)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := f(filepath.Join(root, entry.Name())); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
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

// Session lists the processes of a session, setsid(2): a process that Start has started
// and all its descendants that did not begin a session of their own. The leader comes
// first.
func Session(leader int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	pids := []int{leader}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == leader {
			continue
		}
		if id, err := unix.Getsid(pid); err == nil && id == leader {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Memory is what processes hold, in KiB.
type Memory struct {
	PSS int `json:"pss_kb"` // proportional: a page that several share counts in parts
	RSS int `json:"rss_kb"`
}

// MeasureMemory adds up /proc/PID/smaps_rollup, proc_pid_smaps(5).
func MeasureMemory(pids []int) (Memory, error) {
	var sum Memory
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if gone(err) {
			continue
		}
		if err != nil {
			return sum, err
		}
		sum.PSS += int(statusNumber(text, "Pss:"))
		sum.RSS += int(statusNumber(text, "Rss:"))
	}
	return sum, nil
}

// CountFiles is how many descriptors processes have open.
func CountFiles(pids []int) (count int, err error) {
	for _, pid := range pids {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil && !gone(err) {
			return count, err
		}
		count += len(entries)
	}
	return count, nil
}

// statusNumber is the number behind a label that begins a line, 0 without one.
func statusNumber(text []byte, label string) uint64 {
	for line := range bytes.Lines(text) {
		rest, found := bytes.CutPrefix(line, []byte(label))
		if fields := bytes.Fields(rest); found && len(fields) > 0 {
			n, err := strconv.ParseUint(string(fields[0]), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// RaiseFileLimit lifts the soft limit on descriptors to the hard one, for this process
// and its children: setrlimit(2). It returns the limit.
func RaiseFileLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("setrlimit", err)
	}
	return int(limit.Cur), nil
}

// TCPMemory is how many bytes the kernel's TCP may hold in all: the third number of
// net.ipv4.tcp_mem, tcp(7), which is of pages.
func TCPMemory() (int, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("tcp_mem: want 3 numbers, got %q", text)
	}
	pages, err := strconv.Atoi(string(fields[2]))
	return pages * os.Getpagesize(), err
}
