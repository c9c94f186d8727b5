package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// usedBy is the CPU time of processes up to now: clock_getcpuclockid(3). One that has ended
// counts no more.
func usedBy(pids ...int) (sum time.Duration) {
	for _, pid := range pids {
		var t unix.Timespec
		if unix.ClockGettime(int32(^uint32(pid)<<3|2), &t) == nil {
			sum += time.Duration(t.Nano())
		}
	}
	return sum
}
