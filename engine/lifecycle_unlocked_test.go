package engine_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: a handler that unlocks its goroutine from the loop's thread is
// caught or harmless: no callback runs in a wrong namespace.
func TestUnlockedHandlerIsNotServedElsewhere(t *testing.T) {
	runProcess(t, "unlocked", "")
}

func unlocked(string) error {
	lab, err := nstest.NewLab("")
	if err != nil {
		return err
	}
	a, err := lab.AddBare("a")
	if err != nil {
		return err
	}
	b, err := lab.AddBare("b")
	if err != nil {
		return err
	}
	var unlocked atomic.Bool
	w := &witness{}
	w.after = func(callback string) {
		if callback == "OnData" && unlocked.CompareAndSwap(false, true) {
			runtime.UnlockOSThread()
		}
	}
	eng, err := processEngine(engine.Config{Loops: 1}, w, lifePort)
	if err != nil {
		return err
	}
	if err := eng.Watch(lab.Dir()); err != nil {
		return err
	}
	// Others that want threads.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 8 {
		go func() {
			for ctx.Err() == nil {
				_, _ = os.ReadFile("/proc/self/stat")
				runtime.Gosched()
			}
		}()
	}
	right := 0
	for i := range 400 {
		tenant := a
		if i%2 == 1 {
			tenant = b
		}
		if got, err := whoIn(tenant.NS, lifePort); err == nil && got == tenant.NS.ID().String()+" " {
			right++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(os.Stderr, "%d right; %+v\n", right, eng.Stats().Loops[0].Strays)
	if len(w.wrong) > 0 {
		return fmt.Errorf("%d callbacks in a wrong namespace, such as %s", len(w.wrong), w.wrong[0])
	}
	if right < 390 {
		return fmt.Errorf("only %d of 400 were served", right)
	}
	return lab.Close()
}
