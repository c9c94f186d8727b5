package poller

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMillisecondsRoundUp(t *testing.T) {
	const ms = time.Millisecond
	for d, want := range map[time.Duration]int{
		0: 0, 1: 1, ms - 1: 1, ms: 1, ms + 1: 2, 2 * ms: 2, time.Hour: 3600_000,
		-1: -1, -ms: -1, math.MinInt64: -1,
		math.MaxInt32*ms - 1: math.MaxInt32, math.MaxInt32 * ms: math.MaxInt32,
		math.MaxInt32*ms + 1: math.MaxInt32, math.MaxInt64: math.MaxInt32,
		(math.MaxInt32 - 1) * ms: math.MaxInt32 - 1,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("milliseconds(%d) = %d, want %d", int64(d), got, want)
		}
	}
}

func FuzzMilliseconds(f *testing.F) {
	for _, d := range []int64{0, 1, -1, 999_999, 1_000_001, math.MaxInt64, math.MinInt64} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		d, got := time.Duration(n), milliseconds(time.Duration(n))
		switch {
		case d < 0:
			if got != -1 {
				t.Fatalf("milliseconds(%v) = %d", d, got)
			}
		case got < 0 || got > math.MaxInt32:
			t.Fatalf("milliseconds(%v) = %d, which the kernel reads otherwise", d, got)
		case got < math.MaxInt32 && (time.Duration(got)*time.Millisecond < d || time.Duration(got)*time.Millisecond-d >= time.Millisecond):
			t.Fatalf("milliseconds(%v) = %d", d, got)
		}
	})
}

func TestWaitEndsWithItsTimeout(t *testing.T) {
	p := newPoller(t)
	for _, timeout := range []time.Duration{0, 1, time.Millisecond, 3 * time.Millisecond / 2} {
		if events, err := p.Wait(timeout); err != nil || len(events) != 0 {
			t.Errorf("Wait(%v) = %v, %v", timeout, events, err)
		}
	}
}

func TestNegativeTimeoutWaits(t *testing.T) {
	p := newPoller(t)
	a := eventfd(t, 1)
	must(t, p.Add(a.fd, tokenA, Readable))
	for _, timeout := range []time.Duration{-1, math.MinInt64, math.MaxInt64} {
		events, err := p.Wait(timeout)
		must(t, err)
		if len(events) != 1 {
			t.Errorf("Wait(%v) says %v", timeout, events)
		}
	}
}

// interrupt runs f on a thread that gets signal after signal until f returns.
func interrupt(t *testing.T, number syscall.Signal, f func()) {
	t.Helper()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, number)
	defer signal.Stop(caught)
	tid, done := make(chan int, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(done)
		tid <- unix.Gettid()
		f()
	}()
	target := <-tid
	for end := time.Now().Add(hang); ; {
		select {
		case <-done:
			return
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the waiter never ends under signals")
		}
		if err := unix.Tgkill(os.Getpid(), target, number); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond) // or the thread does nothing but handle signals
	}
}

// netty #14368: a wait that starts again with the whole timeout after EINTR
// never ends under signals, of which a Go process has plenty.
func TestSignalEndsWait(t *testing.T) {
	for _, number := range []syscall.Signal{unix.SIGUSR1, unix.SIGURG} {
		for _, timeout := range []time.Duration{-1, time.Hour} {
			t.Run(number.String()+" "+timeout.String(), func(t *testing.T) {
				p := newPoller(t)
				interrupt(t, number, func() {
					if events, err := p.Wait(timeout); len(events) != 0 || err != nil {
						t.Errorf("a signal makes Wait say %v, %v", events, err)
					}
				})
			})
		}
	}
}

func TestTimerFiresUnderSignals(t *testing.T) {
	p := newPoller(t)
	interrupt(t, unix.SIGURG, func() {
		due := time.Now().Add(50 * time.Millisecond)
		for left := time.Until(due); left > 0; left = time.Until(due) {
			if events, err := p.Wait(left); len(events) != 0 || err != nil {
				t.Errorf("Wait says %v, %v", events, err)
				return
			}
		}
	})
}

// A Wait that blocks must not hold up a garbage collection, or a loop at rest
// would stop the program. The runtime's signals would paper over it; the child
// is without.
func TestBlockedWaitLetsGarbageBeCollected(t *testing.T) {
	const setting = "asyncpreemptoff=1"
	if os.Getenv("GODEBUG") == setting {
		collectDuringWait(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	child.Env = append(os.Environ(), "GODEBUG="+setting)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func collectDuringWait(t *testing.T) {
	p := newPoller(t)
	waiting, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		close(waiting)
		waitWoken(t, p)
	}()
	<-waiting
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for range 10 {
			runtime.GC()
		}
	}()
	finish(t, collected, "garbage collection")
	must(t, p.Wake())
	finish(t, done, "Wait")
}
