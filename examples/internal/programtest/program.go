package programtest

import (
	"context"
	"io"
	"testing"
	"time"
)

// Program is a run of a program.
type Program struct {
	*output
	// Stop asks it to end, as SIGTERM does.
	Stop func()
	// Kill is a SIGKILL, for what Spawn runs; its exit code is -1.
	Kill func()
	exit chan int
}

// Launch runs a program's function run on a goroutine, until the test ends or Stop is
// called.
func Launch(t *testing.T, run func(ctx context.Context, args []string, stderr io.Writer) int, args ...string) *Program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Program{output: newOutput(), Stop: cancel, exit: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.exit <- run(ctx, args, p)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		t.Logf("%q wrote\n%s", args, p.Output())
	})
	return p
}

// Wait wants the program to end, with an exit code.
func (p *Program) Wait(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-p.exit:
		if got != want {
			t.Errorf("exit code %d, want %d; it wrote\n%s", got, want, p.Output())
		}
	case <-time.After(Patience):
		t.Errorf("the program does not end; it wrote\n%s", p.Output())
	}
}
