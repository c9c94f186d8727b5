package nsctx

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Thread is the calling goroutine's OS thread, and remembers the namespace it is
// in. Only the goroutine that called LockThread may use it.
//
// A Thread pins what it is in, with or without a Namespace open on it: go Home
// before waiting for long.
type Thread struct {
	cur     *Namespace // where the thread is; nowhere if that is not known
	home    *Namespace
	tid     int
	avoided uint64

	switches, errors, strays uint64
	sampled                  time.Duration // of one switch in sampleEvery
	samples                  uint64
	released                 bool
}

// nowhere stands for a place that is not known. Unlike nil it equals nothing that
// a caller can pass to Enter.
var nowhere = &Namespace{fd: -1, name: "unknown"}

// sampleEvery is how many switches share one measurement: two looks at the clock
// cost 5% of a setns(2).
const sampleEvery = 16

// ThreadStats counts what a Thread did.
type ThreadStats struct {
	Switches uint64 // setns(2) calls that succeeded
	Avoided  uint64 // calls of Enter and Home that found the thread there already
	Errors   uint64 // calls of Enter and Home that failed
	Strays   uint64 // calls of Verify that found the thread elsewhere

	// SwitchTime is the time spent in setns(2), extrapolated from one switch in
	// 16, the first among them.
	SwitchTime time.Duration
}

// LockThread locks the calling goroutine to its OS thread, as
// [runtime.LockOSThread] does, until Release. The error is ErrMainThread on the
// main thread, on which any goroutine may happen to be: RunLocked avoids it.
func LockThread() (*Thread, error) {
	runtime.LockOSThread()
	t, err := newThread()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, &Error{Op: "lock thread", Err: err}
	}
	return t, nil
}

// newThread needs the calling goroutine locked.
func newThread() (*Thread, error) {
	if onMainThread() {
		return nil, ErrMainThread
	}
	home, err := homeNamespace()
	if err != nil {
		return nil, err
	}
	t := &Thread{cur: nowhere, home: home, tid: gettid()}
	// Home is held open, so that device and inode are proof enough.
	fd, err := openPath(threadNS)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if sameFile(fd, home.fd) {
		t.cur = home
	}
	return t, nil
}

// Enter moves the thread to the namespace. If the thread is there already, by
// what it remembers, nothing else happens; otherwise it takes one setns(2). On
// an error the thread is where it was.
func (t *Thread) Enter(ns *Namespace) error {
	if t.cur == ns {
		t.avoided++
		return nil
	}
	return t.enter(ns)
}

// Home moves the thread to the namespace the process was started in, like Enter.
func (t *Thread) Home() error {
	if t.cur == t.home {
		t.avoided++
		return nil
	}
	return t.enter(t.home)
}

func (t *Thread) enter(ns *Namespace) error {
	if err := t.move(ns); err != nil {
		t.errors++
		return &Error{Op: "enter", Namespace: ns.label(), Err: err}
	}
	return nil
}

func (t *Thread) move(ns *Namespace) error {
	switch {
	case ns == nil:
		return ErrInvalidRef
	case t.released:
		return ErrClosed
	case ns.id == t.cur.id && !ns.id.IsZero():
		t.cur = ns
		t.avoided++
		return nil
	case !ns.acquire():
		return ErrClosed
	}
	errno := t.setns(ns.fd)
	ns.release()
	if errno != 0 {
		return os.NewSyscallError("setns", errno)
	}
	t.cur = ns
	t.switches++
	return nil
}

func (t *Thread) setns(fd int) unix.Errno {
	if t.switches%sampleEvery != 0 {
		return setns(fd)
	}
	start := time.Now()
	errno := setns(fd)
	if errno == 0 {
		t.sampled += time.Since(start)
		t.samples++
	}
	return errno
}

func (n *Namespace) label() string {
	if n == nil {
		return ""
	}
	return n.name
}

// Current returns the Namespace that the thread remembers to be in, which may
// have been closed since, or nil if it is not known.
func (t *Thread) Current() *Namespace {
	if t.cur == nowhere {
		return nil
	}
	return t.cur
}

// TID returns the thread's gettid(2).
func (t *Thread) TID() int { return t.tid }

// Stats returns the counters.
func (t *Thread) Stats() ThreadStats {
	s := ThreadStats{Switches: t.switches, Avoided: t.avoided, Errors: t.errors, Strays: t.strays}
	if t.samples > 0 {
		s.SwitchTime = time.Duration(float64(t.sampled) / float64(t.samples) * float64(t.switches))
	}
	return s
}

// Forget makes the next Enter or Home move the thread, wherever it is.
func (t *Thread) Forget() { t.cur = nowhere }

// Verify asks the kernel where the thread is. The error is ErrStrayed if that is
// not where the Thread remembers to be, or if the caller is on another thread;
// the next Enter or Home then moves the thread for certain. It costs about ten
// system calls' time, so it is for tests and debugging.
func (t *Thread) Verify() error {
	err := t.verify()
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrStrayed) {
		t.strays++
	}
	err = &Error{Op: "verify", Namespace: t.cur.name, Err: err}
	t.Forget()
	return err
}

func (t *Thread) verify() error {
	if t.released {
		return ErrClosed
	}
	if tid := gettid(); tid != t.tid {
		return fmt.Errorf("%w: on thread %d instead of %d", ErrStrayed, tid, t.tid)
	}
	if t.cur == nowhere {
		return nil
	}
	fd, err := openPath(threadNS)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	here, err := identifyWith(fd, t.cur.id.grade, func(int) (uint64, error) { return threadCookie() })
	if err != nil {
		return err
	}
	if here != t.cur.id {
		return fmt.Errorf("%w: in %v instead of %v", ErrStrayed, here, t.cur.id)
	}
	return nil
}

// Release takes the thread home and unlocks the goroutine from it. The Thread
// must not be used afterwards. If home cannot be reached the goroutine stays
// locked, so that the thread dies with it; the goroutine should then end.
func (t *Thread) Release() error {
	if t.released {
		return &Error{Op: "release thread", Err: ErrClosed}
	}
	if err := t.goHome(); err != nil {
		return &Error{Op: "release thread", Namespace: t.home.name, Err: err}
	}
	t.released, t.cur = true, nowhere
	runtime.UnlockOSThread()
	return nil
}

// goHome trusts the kernel only: what ran on the thread may have moved it.
func (t *Thread) goHome() error {
	if gettid() != t.tid {
		return ErrStrayed
	}
	if t.cur == t.home && t.verify() == nil {
		return nil // also where setns is not permitted
	}
	t.Forget()
	return t.move(t.home)
}
