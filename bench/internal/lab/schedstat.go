package lab

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
