package engine

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/poller"
)

// loop is one event loop: a goroutine locked to its OS thread, and all that it
// serves. What is above the blank line in the struct belongs to that goroutine
// alone and has no lock; the rest may be read by others.
//
// One turn of it, and where each step is:
//
//	wait      loop.go      the poller fills a batch
//	dispatch  dispatch.go  the batch is ordered by namespace and handled
//	tasks     task.go      what other goroutines have posted
//	timers    expiry.go    deadlines, idle timeouts, handlers' timers
//	again     loop.go      connections with something left to be told
//	settle    stream.go    what was written to other connections goes out
//	reap      loop.go      closed descriptors are closed
type loop struct {
	// What every message touches lies together: the kernel has used the cache
	// since the last one, so that each line is a miss.
	batch   batch
	table   table
	running *Conn     // whose callback runs
	lent    *Conn     // who has scratch
	shown   *endpoint // what serving was last set to
	spender *Conn     // who has sent last this turn, nil if nobody
	spent   int       // and how many bytes
	now     int64     // the engine's clock at the start of the turn
	limits  limits
	scratch buffers // input and output, to lend to a connection

	eng    *Engine
	index  int
	cpu    int // -1 if not pinned
	poller demultiplexer
	thread *nsctx.Thread // nil if the loop is simulated
	at     *Namespace    // where the thread is; nil is home
	timers timers
	accept func(fd int) (accepted, errno) // accept4(2); tests put failures here
	input  []byte                         // scratch that reads go to
	wire   []byte                         // the same for connections with a filter; nil before the first
	output []byte                         // scratch that a callback's writes go to
	spare  []*buffers                     // empty ones that connections have used

	dirty   []*Conn  // to settle at the end of the turn
	again   []*Conn  // to call without a new event
	tasks   []task   // being run: a part of a mailbox that was taken
	taken   []task   // the slice that tasks is a part of
	dead    []int    // descriptors to close at the end of the turn
	drains  []*cell  // namespaces that are being drained
	packets *packets // nil before the first packet socket
	cells   map[*Namespace]*cell

	ended     int64 // when the last turn ended
	since     int64 // when what this turn handles may have come at the earliest
	slept     int64 // how long the last wait took
	yielded   int64 // when yield last yielded
	idleSince int64 // when the last turn with an event ended
	hot       bool  // events come faster than one can fall asleep
	filtering *Conn // whose filter runs
	pullable  int   // how many bytes that may still read
	published nsctx.ThreadStats
	moved     []*endpoint // whose bytes were counted since the counters were published
	shownAt   int64       // when that was
	stopping  bool
	finished  bool
	revived   bool // on a new goroutine, in the middle of a turn
	stopped   chan struct{}

	mail    mailbox
	stats   loopStats
	load    atomic.Int64 // connections here or on their way here
	turnAt  atomic.Int64 // when the present turn began; 0 while waiting
	serving atomic.Pointer[endpoint]
	parked  atomic.Pointer[Namespace] // where the thread was when last published
	tid     atomic.Int64
}

// demultiplexer is what says which sockets are ready: a [poller.Poller], unless the
// loop is simulated.
type demultiplexer interface {
	Add(fd int, t poller.Token, i poller.Interest) error
	Modify(fd int, t poller.Token, i poller.Interest) error
	Remove(fd int) error
	Wait(timeout time.Duration) ([]poller.Event, error)
	Wake() error
	Close() error
}

// limits are what of Config is asked for with every message.
type limits struct {
	readChunk, readMax, writeMax int
	always                       bool // Switch is SwitchAlways
	checkThread                  bool
}

func (c *Config) limits() limits {
	return limits{c.ReadChunk, c.ReadBufferMax, c.WriteBufferMax, c.Switch == SwitchAlways, c.CheckThread}
}

// loopStats are a loop's counters; see LoopStats.
type loopStats struct {
	turns, events, stale, waits, tasks, timers, panics counter
	switches, avoided, switchErrors, switchNanos       counter
	conns, listeners, packetConns                      counter
	stalls, strays, resets                             counter
	turnSeconds, batchEvents                           histogram
}

// heldBack is how much room a loop's scratch has beyond one read, in bytes: for what
// was left unread before, and what a filter has held back, a record of TLS as a rule.
const heldBack = 32 << 10

func newLoop(e *Engine, index, cpu int) (*loop, error) {
	p, err := poller.New()
	if err != nil {
		return nil, err
	}
	return makeLoop(e, index, cpu, p), nil
}

// makeLoop is what a loop is made of besides its thread and its poller.
func makeLoop(e *Engine, index, cpu int, p demultiplexer) *loop {
	l := &loop{
		eng: e, index: index, cpu: cpu, poller: p, table: newTable(),
		input: make([]byte, e.cfg.ReadChunk+heldBack), output: make([]byte, 64<<10),
		cells: make(map[*Namespace]*cell), stopped: make(chan struct{}), limits: e.cfg.limits(),
	}
	l.accept = new(acceptor).accept
	l.renewScratch()
	l.stats.turnSeconds.base, l.stats.turnSeconds.per = 1000, 1e9
	l.stats.batchEvents.base, l.stats.batchEvents.per = 1, 1
	return l
}

// start runs the loop on a thread of its own, which is never the process's
// main thread: that one's namespace is what /proc/self shows of the process.
func (l *loop) start() error {
	started := make(chan error, 1)
	go func() {
		err := nsctx.RunLocked(func(t *nsctx.Thread) { l.run(t, started) })
		if err != nil {
			select {
			case started <- err:
			default:
				l.eng.log.Error("loop thread ended badly", "loop", l.index, "err", err)
			}
		}
	}()
	return <-started
}

func (l *loop) run(t *nsctx.Thread, started chan<- error) {
	l.thread = t
	l.published = nsctx.ThreadStats{}
	l.tid.Store(int64(t.TID()))
	if l.cpu >= 0 {
		if err := pinThread(l.cpu); err != nil {
			l.eng.log.Warn("cannot pin loop", "loop", l.index, "cpu", l.cpu, "err", err)
		}
	}
	for range lockDepth {
		runtime.LockOSThread()
	}
	started <- nil
	defer l.survive()
	if l.revived {
		l.pickUp()
	}
	for !l.stopping {
		l.turn()
	}
	l.finish()
	for range lockDepth {
		runtime.UnlockOSThread()
	}
	close(l.stopped)
}

// lockDepth is how many calls of runtime.UnlockOSThread too many a loop's
// handlers may make before the loop comes loose from its thread.
const lockDepth = 64

// survive goes on with the loop on a new thread if a handler has ended its
// goroutine with runtime.Goexit, which no recover can stop.
func (l *loop) survive() {
	if l.finished {
		return
	}
	l.eng.log.Error("a handler ended its loop's goroutine; going on with another", "loop", l.index)
	l.at, l.revived = nil, true
	go func() {
		if err := l.start(); err != nil {
			l.eng.fail(fmt.Errorf("loop %d: cannot go on: %w", l.index, err))
		}
	}()
}

// pickUp does what the turn that was cut short has left undone. Its events the
// poller will tell again, its tasks and timers are where they were.
func (l *loop) pickUp() {
	l.revived = false
	for _, c := range l.drains {
		l.goOnDraining(c)
		if c.deadline.index == 0 {
			l.cutOff(c) // it was begun
		}
	}
	l.pickUpPackets()
	l.settleDirty()
	l.reap()
}

func (l *loop) turn() {
	l.since = l.now
	events := l.wait()
	l.now = l.eng.clock()
	l.turnAt.Store(l.now)
	l.spender = nil
	l.dispatch(events)
	l.runTasks()
	l.runTimers()
	l.callAgain()
	l.settleDirty()
	l.flushPackets()
	l.reap()
	l.record(len(events))
}

// wait is the poller's. While events keep coming, it asks without blocking
// first, which the scheduler need not know of and which costs a third less;
// one miss and it blocks. Before it blocks it says so, and looks once more
// whether something was posted meanwhile.
func (l *loop) wait() []poller.Event {
	timeout := l.timeout()
	if timeout != 0 && l.hot {
		if events := l.poll(0); len(events) > 0 {
			return events
		}
	}
	if timeout == 0 {
		return l.poll(0)
	}
	l.publish()
	l.yield()
	l.turnAt.Store(0)
	l.mail.sleeping.Store(true)
	if !l.mail.empty() {
		timeout = 0
	}
	events := l.poll(timeout)
	l.mail.sleeping.Store(false)
	l.rest(len(events))
	return events
}

func (l *loop) poll(timeout time.Duration) []poller.Event {
	l.stats.waits.inc()
	events, err := l.poller.Wait(timeout)
	if err != nil {
		l.eng.fail(fmt.Errorf("loop %d: %w", l.index, err))
		l.stopping = true
	}
	return events
}

// hotAfter is how quickly a blocking wait must have come back for the next one
// not to block at first, in nanoseconds.
const hotAfter = 20_000

// rest is what follows a wait that may have blocked: it notices whether the
// loop is busy, and takes the thread of one that has long been idle home,
// since a thread keeps the namespace alive that it is in.
func (l *loop) rest(events int) {
	now := l.eng.clock()
	l.slept = now - l.ended
	l.hot = events > 0 && l.slept < hotAfter
	if l.slept > l.ended-l.since { // a slow look is no sleep: it has to outlast the turn before
		l.since = now
	}
	if events == 0 && l.at != nil && now-l.idleSince >= int64(l.eng.cfg.ParkTimeout) {
		l.goHome()
		l.publish()
	}
}

// yieldEvery is how often a loop that blocks often yields, in nanoseconds: half
// of the 10 ms after which the scheduler's monitor believes that a goroutine
// hogs its processor.
const yieldEvery = 5_000_000

// yield tells the Go scheduler, now and then, that this goroutine does give way.
// The monitor can't see that from system calls alone; it would take the
// processor away at every single wait and have it handed back after it, which
// costs more than a small request does. A loop that sleeps long is left
// alone: a yield of a locked thread is two context switches.
func (l *loop) yield() {
	if l.slept < yieldEvery && l.ended-l.yielded >= yieldEvery {
		l.yielded = l.ended
		runtime.Gosched()
	}
}

// timeout is how long a wait may take: not at all while something is left to
// do, until the next timer otherwise, or until a thread that is away has been
// idle for long enough to go home.
func (l *loop) timeout() time.Duration {
	if l.stopping || len(l.again) > 0 || len(l.tasks) > 0 || !l.mail.empty() {
		return 0
	}
	timeout := time.Duration(-1)
	if when, armed := l.timers.next(); armed {
		timeout = time.Duration(max(when-l.eng.clock(), 0))
	}
	if l.at != nil && (timeout < 0 || timeout > l.eng.cfg.ParkTimeout) {
		timeout = l.eng.cfg.ParkTimeout
	}
	return timeout
}

func (l *loop) goHome() {
	if l.thread == nil {
		l.eng.sim.goHome()
		return
	}
	if err := l.thread.Home(); err != nil {
		l.eng.log.Error("cannot take the loop's thread home", "loop", l.index, "err", err)
		return
	}
	l.at = nil
}

// record counts the turn.
func (l *loop) record(events int) {
	l.ended = l.eng.clock()
	if events > 0 {
		l.idleSince = l.ended
		l.stats.events.add(uint64(events))
		l.stats.batchEvents.observe(uint64(events))
	}
	l.stats.turns.inc()
	l.stats.turnSeconds.observe(uint64(l.ended - l.now))
	if l.ended-l.shownAt >= publishEvery {
		l.publish()
	}
}

// publishEvery is how long a busy loop may keep counts to itself, in
// nanoseconds.
const publishEvery = 10_000_000

// publish shows other goroutines what is counted without regard to them: an
// atomic store costs more than all else there is to a count. It is done before
// sleeping, and every so often by a loop that does not come to sleep.
func (l *loop) publish() {
	l.shownAt = l.ended
	for i, ep := range l.moved {
		ep.publish()
		ep.moved = false
		l.moved[i] = nil
	}
	l.moved = l.moved[:0]
	if s := l.threadStats(); s != l.published {
		l.stats.switches.add(s.Switches - l.published.Switches)
		l.stats.avoided.add(s.Avoided - l.published.Avoided)
		l.stats.switchErrors.add(s.Errors - l.published.Errors)
		l.stats.switchNanos.add(uint64(max(s.SwitchTime-l.published.SwitchTime, 0)))
		s.SwitchTime = max(s.SwitchTime, l.published.SwitchTime) // an estimate may shrink, a counter not
		l.published = s
	}
	if l.parked.Load() != l.at {
		l.parked.Store(l.at)
	}
}

// threadStats are the thread's, or of a simulated loop what it would have counted.
func (l *loop) threadStats() nsctx.ThreadStats {
	if l.thread == nil {
		return l.eng.sim.thread
	}
	return l.thread.Stats()
}

// enter brings the thread where a connection's handler needs it.
func (l *loop) enter(c *Conn) error {
	if c.anywhere {
		return nil
	}
	return l.enterNamespace(c.ep.cell.ns)
}

func (l *loop) enterNamespace(ns *Namespace) error {
	if l.thread == nil {
		return l.eng.sim.enter(ns)
	}
	if err := l.thread.Enter(ns.nsc); err != nil {
		return fmt.Errorf("%w: %w", ErrSwitch, err)
	}
	l.at = ns
	if ns.home {
		l.at = nil
	}
	return nil
}

// leave is the other half of enter for the policy that always switches.
func (l *loop) leave() {
	if l.limits.always {
		l.goHome()
	}
}

// guard runs f, and turns a panic of the handler in it into the end of the
// running connection.
func (l *loop) guard(f func()) {
	defer l.recoverHandler()
	f()
}

func (l *loop) recoverHandler() {
	c := l.running
	value := recover()
	if c == nil {
		if value != nil {
			panic(value) // our own bug, not a handler's
		}
		return
	}
	l.running, l.filtering = nil, nil
	err := l.panicked(c, value)
	l.guard(func() { l.destroy(c, err) })
	l.leave()
}

// panicked counts a panic of a connection's, and is what it ends with. No value is a
// Goexit.
func (l *loop) panicked(c *Conn, value any) error {
	if value == nil {
		value = "runtime.Goexit was called"
	}
	l.stats.panics.inc()
	c.ep.cell.errors[ErrorPanic].inc()
	stack := debug.Stack()
	l.eng.log.Error("handler panicked; its connection is closed", "netns", c.ep.cell.ns.Name(), "port", c.ep.svc.port,
		"peer", c.peer, "panic", value, "stack", string(stack))
	return c.error("handler", &PanicError{Value: value, Stack: stack})
}

// markDirty has a connection settled at the end of the turn, unless that
// happens anyway when its running callback returns.
func (l *loop) markDirty(c *Conn) {
	if c != l.running && !c.dirty && c.stage != stageClosed {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

func (l *loop) settleDirty() {
	for i := 0; i < len(l.dirty); i++ {
		c := l.dirty[i]
		c.dirty = false
		l.guard(func() { l.settle(c) })
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
}

// runAgain has a connection called without an event of its own.
func (l *loop) runAgain(c *Conn) {
	if !c.recalled {
		c.recalled = true
		l.again = append(l.again, c)
	}
}

// callAgain goes over the list once: what callbacks add to it waits for the
// next turn, or one of them could keep all others waiting.
func (l *loop) callAgain() {
	n := len(l.again)
	for i := range n {
		c := l.again[i]
		c.recalled = false
		l.guard(func() { l.serveAgain(c) })
	}
	rest := copy(l.again, l.again[n:])
	clear(l.again[rest:])
	l.again = l.again[:rest]
}

// reap closes descriptors only now that no event, callback or write of this
// turn can mean them, and then says which namespaces are done with.
func (l *loop) reap() {
	for _, fd := range l.dead {
		closeSocket(fd)
	}
	l.dead = l.dead[:0]
	if len(l.drains) > 0 {
		l.endDrains()
	}
}

// post leaves a task in the loop's mailbox and wakes the loop if it sleeps.
// Any goroutine may call it. It reports whether the task was taken.
func (l *loop) post(t task) bool {
	wake, ok := l.mail.post(t)
	if wake {
		// The only failure is a closed poller, of a loop that is past its
		// last wait and completes what is left in its mailbox.
		_ = l.poller.Wake()
	}
	return ok
}

// unpin makes the thread one like the others again: what the Go scheduler runs
// on it later, and the child processes started from it, would be confined too.
func (l *loop) unpin() {
	if l.cpu < 0 {
		return
	}
	if err := pinThread(allowedCPUs()...); err != nil {
		l.eng.log.Error("cannot unpin loop", "loop", l.index, "err", err)
	}
}

// finish ends the loop: no connection is left by now but those that it cuts
// off here, and no task is left without its answer.
func (l *loop) finish() {
	for _, cell := range l.cells {
		l.cutOff(cell)
	}
	l.runTimers()
	l.tasks = append(l.tasks, l.mail.close()...)
	for len(l.tasks) > 0 {
		t := l.tasks[0]
		l.tasks = l.tasks[1:]
		l.guard(func() { l.refuse(t) })
	}
	l.settleDirty()
	l.reap()
	l.goHome()
	l.unpin()
	l.publish()
	l.turnAt.Store(0)
	if err := l.poller.Close(); err != nil {
		l.eng.log.Error("closing poller", "loop", l.index, "err", err)
	}
	l.finished = true
}
