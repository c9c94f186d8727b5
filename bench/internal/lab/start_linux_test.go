package lab

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStartPassesAffinityAndNiceOn starts two children and expects only the first to
// be special: the thread that forked it must be as before.
func TestStartPassesAffinityAndNiceOn(t *testing.T) {
	const ask = "grep Cpus_allowed_list /proc/self/status; ps -o ni= -p $$"
	own, err := exec.Command("sh", "-c", ask).Output()
	if err != nil {
		t.Skip("no ps:", err)
	}
	for _, test := range []struct {
		cpu, nice int
		want      string
	}{
		{0, 5, "Cpus_allowed_list: 0 5"},
		{-1, 5, ""},
	} {
		var output strings.Builder
		cmd := exec.Command("sh", "-c", ask)
		cmd.Stdout = &output
		if err := Start(cmd, test.cpu, test.nice); err != nil {
			t.Skip("not allowed to come back from a nice value:", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(output.String()), " "); test.want != "" && got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
	after, err := exec.Command("sh", "-c", ask).Output()
	if err != nil || string(after) != string(own) {
		t.Errorf("a later child has %q, %v; want %q", after, err, own)
	}
}
