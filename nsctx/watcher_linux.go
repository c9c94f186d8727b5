package nsctx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher reports the network namespaces that are mounted in a directory such as
// /run/netns, or linked from there. It does not poll: it waits for inotify(7) on
// the directory and those above it, and for poll(2) on /proc/self/mountinfo, which
// tells that something was mounted but not what.
//
// What it cannot see: mounts that do not propagate to the process's mount
// namespace, and symbolic links whose target changes, until something else does.
// If IDs are of GradePaper, a name that is mounted anew within a timer tick (some
// milliseconds), with the same inode, passes for the same namespace.
type Watcher struct {
	trail  *trail
	names  *names
	mounts int // /proc/thread-self/mountinfo
	wake   int // an eventfd(2) that ends Run
	opts   WatchOptions

	state  atomic.Uint32
	buf    []byte
	verify time.Time     // when to look at everything again; zero if nothing calls for it
	cost   time.Duration // what looking at everything took
	retry  time.Duration // how long to wait if starved
}

const (
	watcherNew = iota
	watcherRunning
	watcherClosed
)

const (
	// verifyDelay gathers the mount wakes that no name explains.
	verifyDelay = 75 * time.Millisecond
	// verifyLate is for wakes that a name does explain, though something else may
	// have happened at the same time.
	verifyLate = time.Second
	// verifyShare is how many times the cost of a full look must pass before the
	// next, up to verifyMax. It bounds them to 5% of a CPU up to a cost of 100 ms.
	verifyShare = 20
	verifyMax   = 2 * time.Second

	retryMin, retryMax = time.Second, time.Minute
)

// NewWatcher makes a Watcher of dir, which need not exist. It takes three
// descriptors, until Run returns or Close is called. The error may be that the
// user has no inotify instances or watches left, or may not read the directory.
func NewWatcher(dir string, o WatchOptions) (*Watcher, error) {
	w := &Watcher{mounts: -1, wake: -1, opts: o.withDefaults(), buf: make([]byte, 64<<10)}
	if err := w.init(dir); err != nil {
		w.free()
		return nil, &Error{Op: "watch", Namespace: dir, Err: err}
	}
	return w, nil
}

func (w *Watcher) init(dir string) (err error) {
	if dir == "" {
		return ErrInvalidRef
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if w.names, err = newNames(dir, w.opts); err != nil {
		return err
	}
	if w.mounts, err = openPath("/proc/thread-self/mountinfo"); err != nil {
		return err
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if w.trail, err = newTrail(dir); err != nil {
		return err
	}
	return w.trail.follow()
}

func (w *Watcher) free() {
	for _, fd := range []int{w.mounts, w.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	if w.trail != nil {
		w.trail.close()
	}
}

// Close frees a Watcher that is not going to Run. Once Run was called, that does it
// and Close does nothing.
func (w *Watcher) Close() error {
	if w.state.CompareAndSwap(watcherNew, watcherClosed) {
		w.free()
	}
	return nil
}

// Run calls fn for each change, one after the other on the calling goroutine, until
// ctx ends, which is not an error. While fn runs, changes gather; too many lead to
// a full look. An error means that watching cannot go on. Run can be called
// once.
func (w *Watcher) Run(ctx context.Context, fn func(Change)) error {
	if !w.state.CompareAndSwap(watcherNew, watcherRunning) {
		return &Error{Op: "watch", Namespace: w.names.dir, Err: ErrClosed}
	}
	defer w.free()
	awake := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(awake)
		_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		if !stop() {
			<-awake // it must not write to a descriptor that is closed
		}
	}()
	w.names.tell = fn
	if err := w.loop(ctx, fn); err != nil {
		return &Error{Op: "watch", Namespace: w.names.dir, Err: err}
	}
	return nil
}

func (w *Watcher) loop(ctx context.Context, fn func(Change)) error {
	w.scan()
	fn(Change{Kind: Synced})
	for ctx.Err() == nil {
		mounted, err := w.wait()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := w.round(mounted); err != nil {
			return err
		}
	}
	return nil
}

// wait blocks in poll(2) until there is something to read, a mount has changed, or
// it is time for a full look.
func (w *Watcher) wait() (mounted bool, err error) {
	fds := []unix.PollFd{
		{Fd: int32(w.trail.fd), Events: unix.POLLIN},
		{Fd: int32(w.mounts), Events: unix.POLLPRI},
		{Fd: int32(w.wake), Events: unix.POLLIN},
	}
	_, err = unix.Poll(fds, w.timeout())
	if err == unix.EINTR {
		return false, nil
	}
	return fds[1].Revents != 0, os.NewSyscallError("poll", err)
}

// timeout is in milliseconds, rounded up so as not to wake too early.
func (w *Watcher) timeout() int {
	if w.verify.IsZero() {
		return -1
	}
	return int(max(0, time.Until(w.verify)+time.Millisecond-1) / time.Millisecond)
}

// round takes the names that inotify gives, then what a mount wake leaves to find
// out, then the full look if it is due.
func (w *Watcher) round(mounted bool) error {
	news, err := w.trail.read(w.buf)
	if err != nil {
		return err
	}
	before := w.names.changes
	if news.overflow {
		w.opts.Logger.Warn("inotify events were lost, looking at everything", "dir", w.names.dir)
	}
	due := !w.verify.IsZero() && !time.Now().Before(w.verify)
	if news.overflow || news.moved || due {
		return w.lookAgain()
	}
	for _, name := range news.names {
		w.names.check(name)
	}
	if mounted {
		w.names.recheckFresh()
		w.arm(w.names.changes != before)
	}
	if w.names.starved {
		w.armRetry()
	}
	return nil
}

// lookAgain does not trust the watches: the directory may have been replaced, or
// mounted over.
func (w *Watcher) lookAgain() error {
	if err := w.trail.follow(); err != nil {
		if !errors.Is(err, os.ErrPermission) {
			return err
		}
		w.names.reject("", err)
	}
	w.scan()
	return nil
}

func (w *Watcher) scan() {
	start := time.Now()
	w.verify = time.Time{}
	w.names.told = 0
	w.names.scan()
	w.cost = time.Since(start) - w.names.told
	if w.names.starved {
		w.armRetry()
	} else {
		w.retry = 0
	}
}

// arm sets the time of the next full look, unless an earlier one is set.
func (w *Watcher) arm(explained bool) {
	delay := verifyDelay
	if explained {
		delay = verifyLate
	}
	w.armAt(time.Now().Add(max(delay, min(verifyShare*w.cost, verifyMax))))
}

func (w *Watcher) armRetry() {
	w.names.starved = false
	w.retry = min(max(2*w.retry, retryMin), retryMax)
	w.armAt(time.Now().Add(w.retry))
}

func (w *Watcher) armAt(at time.Time) {
	if w.verify.IsZero() || at.Before(w.verify) {
		w.verify = at
	}
}
