package handlertest

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/internal/simulate"
)

// Loop is an event loop that serves a handler, and that the test turns. All its methods
// and those of its connections belong to the test's goroutine. A call that changes
// something runs the loop until it is at rest: until nothing is left to be done before
// time passes.
type Loop struct {
	t        testing.TB
	sim      simulation
	referee  *referee
	spaces   []*engine.Namespace
	clients  []*Conn
	dialed   []*Conn
	answer   func(Dial) error
	backend  func([]byte) []byte
	panics   bool
	holdWork bool

	moved   int // bytes read and written on all connections
	over    bool
	held    int  // Togethers under way
	turning bool // a callback of this loop is above us on the stack
	bubble  bool // in a testing/synctest bubble
	began   time.Time
	passed  time.Duration // since began, by the loop's clock
}

// New makes a loop that serves a handler on [Port] of a namespace, or of several. When
// the test ends, connections that are still open are reset, with an [engine.ErrDrained],
// and the test fails if the handler has panicked, a callback came out of order, OnClose did
// not come once for each OnOpen, or a timer, work or buffer is left.
func New(t testing.TB, h engine.Handler, opts ...Option) *Loop {
	t.Helper()
	o := options{namespaces: []string{"a"}}
	for _, option := range opts {
		option(&o)
	}
	if o.config.Logger == nil {
		o.config.Logger = testLogger(t)
	}
	if o.config.Resolver == nil {
		o.config.Resolver = noResolver{}
	}
	sim, err := newSimulation(o.config)
	if err != nil {
		t.Fatalf("handlertest: %v", err)
	}
	l := &Loop{t: t, sim: sim, panics: o.panics, holdWork: o.holdWork, backend: o.backend, bubble: inBubble(), began: time.Now()}
	sim.Dialer(dialer{l})
	l.referee = &referee{Handler: h, loop: l, lives: make(map[netip.AddrPort]*life)}
	var how []engine.HandleOption
	if o.anywhere {
		how = append(how, engine.AnyNamespace)
	}
	for _, name := range o.namespaces {
		ns := sim.AddNamespace(name)
		l.spaces = append(l.spaces, ns)
		sim.Handle(ns, Port, l.referee, how...)
	}
	t.Cleanup(l.end)
	return l
}

// testLogger writes what an operator should worry about to the test's output.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// inBubble reports whether the test runs in a bubble of testing/synctest, which is
// where Wait doesn't panic.
func inBubble() (is bool) {
	defer func() { is = recover() == nil }()
	synctest.Wait()
	return true
}

// Engine is the loop's engine, for what a handler is given of it: Dial, Stats. It has
// no control goroutine: Attach, Watch and Handle are an [errors.ErrUnsupported].
func (l *Loop) Engine() *engine.Engine { return l.sim.Engine() }

// Stats is the engine's.
func (l *Loop) Stats() engine.Stats { return l.sim.Engine().Stats() }

// Namespace is the namespace with a name that was given to [Namespaces].
func (l *Loop) Namespace(name string) *engine.Namespace {
	l.t.Helper()
	i := slices.IndexFunc(l.spaces, func(ns *engine.Namespace) bool { return ns.Name() == name })
	if i < 0 {
		l.t.Fatalf("handlertest: no namespace %q", name)
	}
	return l.spaces[i]
}

// Client says who connects. The zero Client is one of the first namespace, with an
// address that no other client has.
type Client struct {
	Namespace string
	Addr      netip.AddrPort
}

// Connect has a client connect to the handler: OnOpen has run when it returns, unless
// the connection was rejected or its namespace can't be entered.
func (l *Loop) Connect(as ...Client) *Conn {
	l.t.Helper()
	var who Client
	if len(as) > 0 {
		who = as[0]
	}
	ns := l.spaces[0]
	if who.Namespace != "" {
		ns = l.Namespace(who.Namespace)
	}
	if !who.Addr.IsValid() {
		who.Addr = l.freshAddr()
	}
	if l.referee.lives[who.Addr] != nil {
		l.t.Fatalf("handlertest: %v has connected before", who.Addr)
	}
	c := &Conn{loop: l, peer: who.Addr, sock: &socket{local: localAddr, window: unlimited, moved: &l.moved}}
	l.clients = append(l.clients, c)
	l.referee.lives[who.Addr] = &life{client: c}
	if err := l.sim.Accept(ns, Port, simulate.Open(c.sock), who.Addr); err != nil {
		l.t.Fatalf("handlertest: %v", err)
	}
	l.Run()
	return c
}

// The documentation's networks: RFC 5737.
var localAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), Port)

// freshAddr is a client's address that nobody has had.
func (l *Loop) freshAddr() netip.AddrPort {
	const first, ports = 1024, 60000
	n := len(l.clients)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + n/ports)}), uint16(first+n%ports))
}

// Together has everything that f does happen before the loop sees any of it: what it
// sends on several connections is one batch of events.
func (l *Loop) Together(f func()) {
	l.held++
	f()
	l.held--
	l.Run()
}

// maxTurns is how many turns a loop may make without coming to rest, since the last in
// which a byte was read or written.
const maxTurns = 10_000

// Run turns the loop until it is at rest. It is only needed after something that the
// loop has not been told of by this package: another goroutine's Wake, say.
func (l *Loop) Run() {
	l.t.Helper()
	if l.held > 0 || l.turning {
		return
	}
	moved := l.moved
	for turns := 0; turns < maxTurns; turns++ {
		if l.moved != moved {
			moved, turns = l.moved, 0
		}
		l.keepTime()
		switch {
		case l.sim.Due():
			l.turn()
		case l.sim.Works() > 0 && !l.holdWork:
			l.sim.RunWork()
		default:
			return
		}
	}
	l.t.Fatalf("handlertest: the loop does not come to rest: after %d turns in which no byte was read or written there is still something to do", maxTurns)
}

// turn is one turn of the loop.
func (l *Loop) turn() {
	l.turning = true
	defer func() { l.turning = false }()
	before := l.moved
	l.sim.Turn()
	if read := l.moved - before; read > 0 {
		l.sim.Spoil(read) // what was written is in it, and does no harm
	}
}

// keepTime waits, in a bubble, for what the handler does on goroutines of its own, and
// moves the loop's clock to the bubble's.
func (l *Loop) keepTime() {
	if !l.bubble {
		return
	}
	synctest.Wait()
	l.pass(time.Since(l.began) - l.passed)
}

func (l *Loop) pass(d time.Duration) {
	l.passed += d
	l.sim.Pass(d)
}

// Turn turns the loop once, whether there is something to do or not, for a test that
// wants to see what happens in between: hold the loop with Together.
func (l *Loop) Turn() {
	if !l.turning {
		l.turn()
	}
}

// Advance lets time pass on the loop's clock: timers, deadlines and timeouts that
// are due meanwhile fire at their time and in their order.
func (l *Loop) Advance(d time.Duration) {
	l.t.Helper()
	switch {
	case l.turning:
		l.t.Fatalf("handlertest: time can't pass within a callback")
	case l.held > 0:
		l.pass(d) // and the loop finds out late
		return
	}
	l.Run()
	for end := l.passed + d; l.passed < end; l.Run() {
		step := end - l.passed
		if next, armed := l.sim.Next(); armed {
			step = min(step, next)
		}
		l.sleep(step)
		l.turn() // also if nothing is due: a loop that is idle for long takes its thread home
	}
}

// sleep is pass, and in a bubble time passes for everything in it; it ends early if
// the loop is woken.
func (l *Loop) sleep(d time.Duration) {
	if !l.bubble {
		l.pass(d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.sim.Signal():
	}
	l.keepTime()
}

// hang is how long Until waits. Only a hang takes so long.
const hang = 30 * time.Second

// Until runs the loop until a condition holds, for a handler that is answered by
// goroutines of its own: it waits for their AsyncWrite, Wake or Call. In a
// testing/synctest bubble it is not needed: there Run waits for them.
func (l *Loop) Until(what string, holds func() bool) {
	l.t.Helper()
	guard := time.NewTimer(hang)
	defer guard.Stop()
	for l.Run(); !holds(); l.Run() {
		select {
		case <-l.sim.Signal():
		case <-guard.C:
			l.t.Fatalf("handlertest: waited in vain for %s", what)
		}
	}
}

// RunWork does, with [HoldWork], the work that was given to [engine.Conn.Go] first,
// on this goroutine, and has its result delivered. It reports whether there was any.
func (l *Loop) RunWork() bool {
	l.t.Helper()
	if l.sim.Works() == 0 {
		return false
	}
	l.sim.RunWork()
	l.Run()
	return true
}

// Drain starts the end of a namespace, as when it is removed: every connection gets
// OnDrain, and what is still open after Config.DrainTimeout is reset. Without a name it
// is the end of all.
func (l *Loop) Drain(names ...string) {
	l.t.Helper()
	spaces := l.spaces
	if len(names) > 0 {
		spaces = nil
	}
	for _, name := range names {
		spaces = append(spaces, l.Namespace(name))
	}
	for _, ns := range spaces {
		l.sim.Drain(ns)
	}
	l.Run()
}

// Refuse makes it impossible to enter a namespace, for a reason: no callback but
// OnClose runs there. With nil it is possible again.
func (l *Loop) Refuse(name string, reason error) { l.sim.Refuse(l.Namespace(name), reason) }

// end ends the loop, once, and says what the handler has done wrong.
func (l *Loop) end() {
	l.t.Helper()
	if l.over {
		return
	}
	l.over = true
	l.sim.Finish()
	for _, c := range l.clients {
		if life := l.referee.lives[c.peer]; life.opened && !life.closed {
			l.t.Errorf("handlertest: %v: OnClose was not called", c.peer)
		}
	}
	for _, c := range l.dialed {
		if life := c.life; life.opened && !life.closed {
			l.t.Errorf("handlertest: dialed %v: OnClose was not called", c.to)
		}
	}
	for _, c := range slices.Concat(l.clients, l.dialed) {
		if !c.sock.closed {
			l.t.Errorf("handlertest: %v: the descriptor was not closed", c.peer)
		}
	}
	for _, kept := range l.sim.Kept() {
		l.t.Errorf("handlertest: all connections are closed, and the loop still holds %s", kept)
	}
}
