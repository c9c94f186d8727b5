package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Engine serves ports in namespaces. Its methods may be called by any
// goroutine, but not by a handler's callback: those that wait for the loops
// would wait for themselves.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	home    *nsctx.Namespace
	loops   []*loop
	control *control
	pool    *pool
	lookups *lookups
	epoch   time.Time
	sim     *simulation // nil but for handlertest

	background     context.Context // ends with the engine
	stopBackground context.CancelFunc
	workers        sync.WaitGroup

	stopOnce sync.Once
	stopped  chan struct{}
	stopErr  error
	failed   chan error // why the engine can't go on

	guests       atomic.Int64  // connections that Go's own poller serves
	lastAccepted chan struct{} // closed when no loop will accept any more

	mu         sync.RWMutex // guards what is below; the control goroutine writes it
	namespaces []*Namespace // serving or draining, in order of attachment
	grade      nsctx.Grade
	draining   bool
	gone       Totals // what released namespaces counted
	released   uint64
	abandoned  uint64
	attachErrs uint64
}

// New starts an engine's loops. It serves what is attached from then on, until
// Shutdown or until Run's context ends. It raises the process's soft limit of
// open files to the hard one: every namespace costs a descriptor and one for
// each loop and port, every connection one.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := raiseDescriptorLimit(); err != nil {
		return nil, &Error{Op: "new", Err: err}
	}
	home, err := nsctx.Home().Open()
	if err != nil {
		return nil, &Error{Op: "new", Err: err}
	}
	e := &Engine{
		cfg: cfg, log: cfg.Logger, home: home, epoch: time.Now(),
		stopped: make(chan struct{}), failed: make(chan error, 1), lastAccepted: make(chan struct{}),
		grade: home.ID().Grade(),
	}
	if !cfg.KeepMaxProcs && runtime.GOMAXPROCS(0) <= cfg.Loops {
		runtime.GOMAXPROCS(cfg.Loops + 1)
	}
	e.background, e.stopBackground = context.WithCancel(context.Background())
	e.pool = newPool(e)
	if err := e.start(); err != nil {
		return nil, errors.Join(&Error{Op: "new", Err: describeDescriptors(err)}, e.Shutdown(context.Background()))
	}
	return e, nil
}

func (e *Engine) start() error {
	cpus := allowedCPUs()
	e.control, e.lookups = newControl(e), newLookups(e)
	for i := range e.cfg.Loops {
		cpu := -1
		if !e.cfg.Unpinned && len(cpus) > 0 {
			cpu = cpus[i%len(cpus)]
		}
		l, err := newLoop(e, i, cpu)
		if err != nil {
			return err
		}
		if err := l.start(); err != nil {
			return errors.Join(err, l.poller.Close())
		}
		e.loops = append(e.loops, l)
	}
	if err := e.control.start(); err != nil {
		return err
	}
	e.workers.Go(e.watchStalls)
	return nil
}

// clock is the time since the engine started, in nanoseconds: monotonic.
func (e *Engine) clock() int64 {
	if e.sim != nil {
		return e.sim.now.Load()
	}
	return int64(time.Since(e.epoch))
}

func (e *Engine) clockAt(t time.Time) int64 {
	if e.sim != nil {
		return e.sim.clockAt(t)
	}
	return int64(t.Sub(e.epoch))
}

// timeAt is the other way round.
func (e *Engine) timeAt(clock int64) time.Time {
	if e.sim != nil {
		return time.Now().Add(time.Duration(clock - e.sim.now.Load()))
	}
	return e.epoch.Add(time.Duration(clock))
}

// Handle registers a handler for a port of the network "tcp" (IPv4 and IPv6),
// 1 to 65535, or 0 for one that the kernel chooses in each namespace
// ([Namespace.Port] tells). It is served in every namespace that is attached,
// now or later. Where the port can't be had now, that is counted, logged once
// and tried again; it harms no other namespace. A wrong call is an
// [ErrBadHandle].
func (e *Engine) Handle(network string, port int, h Handler, options ...HandleOption) error {
	switch {
	case network != "tcp":
		return &Error{Op: "handle", Err: fmt.Errorf("%w: network %q is not \"tcp\"", ErrBadHandle, network)}
	case port < 0 || port > 65535:
		return &Error{Op: "handle", Err: fmt.Errorf("%w: port %d is not within 0 to 65535", ErrBadHandle, port)}
	case h == nil:
		return &Error{Op: "handle", Err: fmt.Errorf("%w: no handler for port %d", ErrBadHandle, port)}
	}
	return e.register(&service{network: network, port: port, handler: h}, options)
}

func (e *Engine) register(svc *service, options []HandleOption) error {
	for _, o := range options {
		o(svc)
	}
	if svc.mode != nil {
		return &Error{Op: "handle", Err: fmt.Errorf("%w: a port has no SocketMode", ErrBadHandle)}
	}
	return e.handle(svc)
}

func (e *Engine) handle(svc *service) error {
	var err error
	if e := e.control.do(func(ct *control) { err = ct.handle(svc) }); e != nil {
		return e
	}
	return err
}

// Attach opens a namespace and serves every registered port in it, all of
// them or none: if a port can't be had, the namespace is not attached and the
// error says why. A namespace that is attached already, under this or another
// name, is returned as it is. If it was named by a path, it is drained when
// the path goes away.
func (e *Engine) Attach(ref nsctx.Ref) (*Namespace, error) {
	var ns *Namespace
	var err error
	if e := e.control.do(func(ct *control) { ns, err = ct.attach(ref) }); e != nil {
		return nil, e
	}
	return ns, err
}

// Home is the namespace that the process was started in, to reach out from. If it
// is not attached it becomes so without its ports: they are served there only
// after an Attach of [nsctx.Home]. It then stays until it is detached, whatever
// becomes of a name that it was attached by.
func (e *Engine) Home() (*Namespace, error) {
	var ns *Namespace
	var err error
	if e := e.control.do(func(ct *control) { ns, err = ct.home() }); e != nil {
		return nil, e
	}
	return ns, err
}

// Detach drains a namespace: its listeners close, its connections get OnDrain
// and until ctx ends (at most Config.DrainTimeout) to finish, the rest is
// reset. It returns when this process holds nothing of the namespace any more,
// or with ctx's error before.
func (e *Engine) Detach(ctx context.Context, ns *Namespace) error {
	if ns == nil || ns.eng != e {
		return &Error{Op: "detach", Err: ErrNotAttached}
	}
	deadline := e.drainDeadline(ctx)
	if err := e.control.do(func(ct *control) { ct.drain(ns, deadline, false) }); err != nil {
		return err
	}
	select {
	case <-ns.released:
		return nil
	case <-ctx.Done():
		return &Error{Op: "detach", Namespace: ns.Name(), Err: ctx.Err()}
	}
}

// drainDeadline is when a drain that starts now has to end, in the engine's
// clock.
func (e *Engine) drainDeadline(ctx context.Context) int64 {
	deadline := later(e.clock(), int64(e.cfg.DrainTimeout))
	if t, ok := ctx.Deadline(); ok {
		deadline = min(deadline, e.clockAt(t))
	}
	return deadline
}

// WatchOption narrows what [Engine.Watch] attaches.
type WatchOption func(*watchOptions)

type watchOptions struct{ globs []string }

// Match attaches only names that match a pattern of [path.Match]; several
// Matches widen the choice.
func Match(glob string) WatchOption {
	return func(o *watchOptions) { o.globs = append(o.globs, glob) }
}

// Watch attaches the namespaces that have a name in a directory, such as
// /run/netns, and from then on those that get one; one whose last name goes
// away is drained. It returns when those that were there at first have been
// tried. A namespace that can't be attached, or a port of it that can't be
// had, is counted, logged once and tried again. The directory need not exist
// yet.
func (e *Engine) Watch(dir string, options ...WatchOption) error {
	var o watchOptions
	for _, option := range options {
		option(&o)
	}
	if o.globs == nil {
		o.globs = []string{"*"}
	}
	for _, glob := range o.globs {
		if _, err := path.Match(glob, ""); err != nil {
			return &Error{Op: "watch", Err: fmt.Errorf("%q: %w", glob, err)}
		}
	}
	var synced <-chan struct{}
	var err error
	if e := e.control.do(func(ct *control) { synced, err = ct.watch(dir, o.globs) }); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	select {
	case <-synced:
		return nil
	case <-e.background.Done():
		return &Error{Op: "watch", Err: ErrStopped}
	}
}

// Namespaces lists what is attached or draining, in order of attachment.
func (e *Engine) Namespaces() []*Namespace {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return append([]*Namespace(nil), e.namespaces...)
}

// Run waits until ctx ends, then shuts down, giving connections
// Config.DrainTimeout to finish. It returns nil if they all did.
func (e *Engine) Run(ctx context.Context) error {
	var cause error
	select {
	case <-ctx.Done():
	case <-e.stopped:
	case cause = <-e.failed:
	}
	limit, cancel := context.WithTimeout(context.Background(), e.cfg.DrainTimeout)
	defer cancel()
	return errors.Join(cause, e.Shutdown(limit))
}

// fail has Run return: the engine can't go on.
func (e *Engine) fail(err error) {
	e.log.Error("engine failed", "err", err)
	select {
	case e.failed <- err:
	default:
	}
}

// Shutdown drains every namespace and stops the loops: listeners close at
// once, connections get OnDrain and until ctx ends (at most
// Config.DrainTimeout), the rest is reset. It returns when every callback has
// been called; with an [ErrDrained] that says how many connections had to be
// reset, if any. A loop that a handler blocks is not waited for beyond
// Config.StallAfter after ctx's end. A second call waits for the first.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.stopOnce.Do(func() {
		e.stopErr = e.shutdown(ctx)
		close(e.stopped)
	})
	<-e.stopped
	return e.stopErr
}

func (e *Engine) shutdown(ctx context.Context) error {
	reset := -int(e.drainResets())
	deadline := e.drainDeadline(ctx)
	ctx, cancel := context.WithDeadline(ctx, e.epoch.Add(time.Duration(deadline)))
	defer cancel()
	if e.control.running() {
		var cleared <-chan struct{}
		if err := e.control.do(func(ct *control) { cleared = ct.drainAll(deadline) }); err != nil {
			return err
		}
		// When the loops have come to this, they have emptied their backlogs.
		e.onEveryLoop(func(*loop) {}, func() { close(e.lastAccepted) })
		e.awaitDrain(ctx, cleared, deadline)
	}
	stuck := e.stopLoops(ctx)
	e.lookups.stop()
	e.stopBackground()
	stuck = errors.Join(stuck, e.stopWork())
	e.control.stop()
	e.workers.Wait()
	for _, ns := range e.Namespaces() { // those that a blocked loop has something of
		ns.expelGuests()
		ns.closeHandle()
		e.control.letGo(ns, false)
	}
	reset += int(e.drainResets())
	errs := []error{stuck}
	if err := e.home.Close(); err != nil {
		errs = append(errs, err)
	}
	if reset > 0 {
		errs = append(errs, &Error{Op: "shutdown", Err: fmt.Errorf("%w: %d connections were reset", ErrDrained, reset)})
	}
	return errors.Join(errs...)
}

// awaitDrain waits until nothing is left, or until the loops have had their
// time to reset what is.
func (e *Engine) awaitDrain(ctx context.Context, cleared <-chan struct{}, deadline int64) {
	late := time.NewTimer(time.Duration(max(deadline-e.clock(), 0)) + e.cfg.StallAfter)
	defer late.Stop()
	select {
	case <-cleared:
		return
	case <-ctx.Done():
	case <-late.C:
	}
	for _, l := range e.loops {
		l.post(task{kind: taskLoop, run: func(l *loop) {
			for _, c := range l.cells {
				l.cutOff(c)
			}
		}})
	}
}

// stopLoops ends the loops. One that a handler blocks is left behind, and
// said.
func (e *Engine) stopLoops(ctx context.Context) error {
	for _, l := range e.loops {
		l.post(task{kind: taskLoop, run: func(l *loop) { l.stopping = true }})
	}
	var errs []error
	for _, l := range e.loops {
		select {
		case <-l.stopped:
			continue
		case <-ctx.Done():
		}
		grace := time.NewTimer(e.cfg.StallAfter)
		select {
		case <-l.stopped:
		case <-grace.C:
			err := &Error{Op: "shutdown", Err: fmt.Errorf("loop %d is blocked by a handler", l.index)}
			if ep := l.serving.Load(); ep != nil {
				err.Namespace = ep.cell.ns.Name()
				err.Err = fmt.Errorf("loop %d is blocked by the handler of port %d", l.index, ep.svc.port)
			}
			errs = append(errs, err)
		}
		grace.Stop()
	}
	return errors.Join(errs...)
}

// stopWork ends the pool. Work that does not heed its context is left behind, and
// said.
func (e *Engine) stopWork() error {
	grace, cancel := context.WithTimeout(context.Background(), e.cfg.StallAfter)
	defer cancel()
	if left := e.pool.stop(grace); left > 0 {
		return &Error{Op: "shutdown", Err: fmt.Errorf("%w: %d works go on", ErrWorkStuck, left)}
	}
	return nil
}

// onEveryLoop runs f on each loop, behind what was posted to it before, and then
// calls then, on the last of them.
func (e *Engine) onEveryLoop(f func(*loop), then func()) {
	var left atomic.Int64
	left.Store(int64(len(e.loops)))
	arrive := func() {
		if left.Add(-1) == 0 {
			then()
		}
	}
	for _, l := range e.loops {
		if !l.post(task{kind: taskLoop, run: func(l *loop) { defer arrive(); f(l) }}) {
			arrive() // it has ended
		}
	}
}

func (e *Engine) drainResets() uint64 {
	var n uint64
	for _, l := range e.loops {
		n += l.stats.resets.load()
	}
	return n
}

// full reports whether a limit of connections is reached.
func (e *Engine) full(ns *Namespace) bool {
	if limit := e.cfg.MaxConnsPerNamespace; limit > 0 && ns.connections() >= limit {
		return true
	}
	if e.cfg.MaxConns == 0 {
		return false
	}
	n := int(e.guests.Load())
	for _, l := range e.loops {
		n += int(l.stats.conns.load())
	}
	return n >= e.cfg.MaxConns
}

// lightest is the loop with the fewest connections; among equals, the next
// after the asking one, so that a burst goes round.
func (e *Engine) lightest(from *loop) *loop {
	best := from
	for i := 1; i <= len(e.loops); i++ {
		if l := e.loops[(from.index+i)%len(e.loops)]; i == 1 || l.load.Load() < best.load.Load() {
			best = l
		}
	}
	return best
}

// Stats takes a snapshot. It asks no loop, so that it answers also while one
// is blocked.
func (e *Engine) Stats() Stats {
	e.mu.RLock()
	s := Stats{
		Gone: e.gone, Released: e.released, Abandoned: e.abandoned, AttachErrors: e.attachErrs,
		IdentityGrade: e.grade, Started: e.epoch, Draining: e.draining,
	}
	namespaces := e.namespaces
	e.mu.RUnlock()
	select {
	case <-e.stopped:
		s.Stopped = true
	default:
	}
	s.Work = e.pool.snapshot()
	for _, l := range e.loops {
		s.Loops = append(s.Loops, l.snapshot())
	}
	for _, ns := range namespaces {
		s.Namespaces = append(s.Namespaces, ns.stats())
	}
	return s
}
