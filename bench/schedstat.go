package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// schedstat is what /proc/PID/task/TID/schedstat says of a thread.
type schedstat struct {
	run    uint64 // nanoseconds on a CPU
	wait   uint64 // nanoseconds runnable, but waiting for a CPU
	slices uint64 // times it was put on a CPU
}

// parseSchedstat reads the three numbers of a schedstat file.
func parseSchedstat(text []byte) (schedstat, error) {
	fields := bytes.Fields(text)
	if len(fields) != 3 {
		return schedstat{}, fmt.Errorf("schedstat: want 3 fields, got %q", text)
	}
	var values [3]uint64
	for i, field := range fields {
		value, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return schedstat{}, fmt.Errorf("schedstat: %w", err)
		}
		values[i] = value
	}
	return schedstat{values[0], values[1], values[2]}, nil
}

// since returns what threads did from before to after. A thread that ended in between
// is missing from after: its last stretch is lost here, which is why CPU time is not
// taken from this sum (see sample).
func since(before, after map[string]schedstat) schedstat {
	var sum schedstat
	for id, now := range after {
		was := before[id] // zero for a new thread
		sum.run += now.run - was.run
		sum.wait += now.wait - was.wait
		sum.slices += now.slices - was.slices
	}
	return sum
}
