package parallel

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
)

// samplingFlags makes nsr look where its messages came from, if it is a build that can.
func samplingFlags(ctx context.Context, programs string) []string {
	usage, _ := exec.CommandContext(ctx, filepath.Join(programs, "nsr"), "-help").CombinedOutput() // help ends with an error
	if bytes.Contains(usage, []byte("-incoming")) {
		return []string{"-incoming"}
	}
	return nil
}
