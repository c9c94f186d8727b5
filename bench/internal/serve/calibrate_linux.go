package serve

import (
	"log"
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// nanosecondsPerRound measures spin against the thread's CPU clock, for some 20 ms, on
// the CPU where the server has been put. The least of many short tries counts: whatever
// else the machine does can only make a round look longer.
func nanosecondsPerRound() float64 {
	const tries, rounds = 40, 250_000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := math.Inf(1)
	for range tries {
		before := threadCPU()
		_ = spin(rounds)
		best = min(best, float64(threadCPU()-before)/rounds)
	}
	return best
}

// threadCPU is the CPU time of the calling thread in nanoseconds: clock_gettime(2).
func threadCPU() int64 {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent); err != nil {
		log.Fatal(os.NewSyscallError("clock_gettime", err))
	}
	return spent.Nano()
}
