package switching

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/nsctx"
)

// What is measured.
type What string

// Everything that is measured at each point. The first three are what a run is about,
// the others say what to hold them against.
const (
	Setns What = "setns"      // bare setns(2), a raw system call
	Miss  What = "enter-miss" // nsctx.Thread.Enter, into another namespace
	Hit   What = "enter-hit"  // nsctx.Thread.Enter, where the thread is already
	Empty What = "getppid"    // a system call that does next to nothing
	Call  What = "call"       // a function call that does nothing
	Clock What = "clock"      // what the harness adds to each single call that it times
)

var whats = []What{Setns, Miss, Hit, Empty, Call, Clock}

const (
	cycles  = 4   // of blocks, within a visit
	batches = 16  // timed in a block of what is too short to be timed alone
	batch   = 512 // calls of a batch
)

// batchOf is how many calls one sample times.
func batchOf(w What) int {
	if w == Hit || w == Call {
		return batch
	}
	return 1
}

// A worker is one thread of a visit.
type worker struct {
	spaces *spaces
	walk   *walk
	calls  int
	bar    *barrier
	first  int // the position of what comes first, by round

	thread *nsctx.Thread
	began  time.Time
	steps  []int
	stamps []time.Duration
	tally  map[What]*tally
}

// run makes the visit, on a thread that has CPU cpu to itself.
func (w *worker) run(cpu int) (err error) {
	defer func() {
		if err != nil {
			w.bar.giveUp()
		}
	}()
	startErr := nsctx.RunLocked(func(t *nsctx.Thread) {
		w.thread, w.began = t, time.Now()
		err = onCPU(cpu, w.visit)
	})
	return errors.Join(startErr, err)
}

func (w *worker) visit() error {
	w.steps, w.stamps = make([]int, w.calls), make([]time.Duration, max(w.calls, batches)+1)
	if err := w.warmUp(); err != nil {
		return err
	}
	for range cycles {
		for i := range whats {
			if !w.bar.wait() {
				return nil // the other thread has an error to report
			}
			what := whats[(i+w.first)%len(whats)]
			if err := w.block(what); err != nil {
				return err
			}
		}
	}
	return nil
}

// warmUp goes to each namespace once: what was visited since has pushed them out of the
// CPU's caches.
func (w *worker) warmUp() error {
	for _, ns := range w.spaces.all[:w.walk.n] {
		if err := w.thread.Enter(ns); err != nil {
			return err
		}
	}
	return nil
}

// block measures one thing once, from where the walk is: else the first step might be
// no step.
func (w *worker) block(what What) error {
	if err := w.thread.Enter(w.spaces.all[w.walk.at]); err != nil {
		return err
	}
	switch what {
	case Setns:
		defer w.thread.Forget() // it has not seen where it went
		return w.each(what, w.setns)
	case Miss:
		if w.walk.n == 1 {
			return w.each(what, w.enterAgain)
		}
		return w.each(what, w.enter)
	case Hit:
		return w.hits()
	case Empty:
		return w.each(what, getppid)
	case Call:
		return w.batches(what, callMany)
	default:
		return w.each(what, nothing)
	}
}

// each measures calls twice: together, for a mean without the clock in it, and one by
// one, for the distribution.
func (w *worker) each(what What, call func(to int) error) error {
	tally, before := w.tally[what], w.thread.Stats()
	w.walk.fill(w.steps)
	start := time.Since(w.began)
	for _, to := range w.steps {
		if err := call(to); err != nil {
			return err
		}
	}
	together := time.Since(w.began) - start

	w.walk.fill(w.steps)
	w.stamps[0] = time.Since(w.began)
	for i, to := range w.steps {
		if err := call(to); err != nil {
			return err
		}
		w.stamps[i+1] = time.Since(w.began)
	}
	tally.moved(before, w.thread.Stats())
	tally.singles(w.stamps[:len(w.steps)+1], 1)
	if what == Clock {
		together = w.stamps[len(w.steps)] - w.stamps[0]
	}
	tally.together(together, w.calls)
	return nil
}

// batches measures what is over before a clock could be read.
func (w *worker) batches(what What, many func() error) error {
	tally, before := w.tally[what], w.thread.Stats()
	w.stamps[0] = time.Since(w.began)
	for i := range batches {
		if err := many(); err != nil {
			return err
		}
		w.stamps[i+1] = time.Since(w.began)
	}
	tally.moved(before, w.thread.Stats())
	tally.singles(w.stamps[:batches+1], batch)
	tally.together(w.stamps[batches]-w.stamps[0], batches*batch)
	return nil
}

// hits goes to the next namespace, which is not measured, and stays there.
func (w *worker) hits() error {
	w.walk.fill(w.steps[:1])
	ns := w.spaces.all[w.steps[0]]
	if err := w.thread.Enter(ns); err != nil {
		return err
	}
	t := w.thread
	return w.batches(Hit, func() error {
		for range batch {
			if err := t.Enter(ns); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *worker) setns(to int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(w.spaces.fds[to]), unix.CLONE_NEWNET, 0)
	if errno != 0 {
		return os.NewSyscallError("setns", errno)
	}
	return nil
}

func (w *worker) enter(to int) error { return w.thread.Enter(w.spaces.all[to]) }

// enterAgain is enter where there is one namespace only: the thread has to forget that
// it is there.
func (w *worker) enterAgain(to int) error {
	w.thread.Forget()
	return w.thread.Enter(w.spaces.all[to])
}

func getppid(int) error {
	unix.RawSyscallNoError(unix.SYS_GETPPID, 0, 0, 0)
	return nil
}

func nothing(int) error { return nil }

//go:noinline
func empty() {}

func callMany() error {
	for range batch {
		empty()
	}
	return nil
}

// onCPU runs f with the calling thread on one CPU: sched_setaffinity(2). A goroutine
// locked to its thread calls it.
func onCPU(cpu int, f func() error) error {
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	err := f()
	return errors.Join(err, os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
}

// run makes a visit: its threads at once, each on a CPU of its own.
func (v visit) run(spaces *spaces, calls int) ([]*worker, error) {
	bar := &barrier{threads: int32(v.threads)}
	workers := make([]*worker, v.threads)
	errs := make(chan error, v.threads)
	for i := range workers {
		workers[i] = &worker{
			spaces: spaces, walk: newWalk(v.order, v.namespaces, uint64(v.round*v.threads+i)), calls: calls, bar: bar, first: v.round,
			tally: newTallies(),
		}
		go func() { errs <- workers[i].run(i) }()
	}
	var all []error
	for range workers {
		all = append(all, <-errs)
	}
	return workers, errors.Join(all...)
}
