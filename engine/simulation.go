package engine

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/internal/simulate"
	"github.com/nsreactor/nsreactor/nsctx"
)

func init() {
	simulate.New = func(config any) (any, error) { return newSimulation(config.(Config)) }
}

// simulation is an engine with one loop that has neither thread nor poller nor
// kernel: package handlertest turns it, moves its clock and plays its peers. Its
// methods belong to the goroutine that turns the loop. See package simulate.
type simulation struct {
	eng    *Engine
	loop   *loop
	demux  *simulatedDemux
	now    atomic.Int64 // what Engine.clock says
	thread nsctx.ThreadStats
	refuse map[*Namespace]error // those that can't be entered
	spaces int                  // how many namespaces were made
	dialer simulatedDialer      // nil refuses
	works  []*job               // that have a worker, as the pool sees it
	poison []byte               // what nobody sends
	inputs [][]byte             // the loop's next scratches, in turn
}

func newSimulation(cfg Config) (*simulation, error) {
	cfg.Loops, cfg.Unpinned, cfg.KeepMaxProcs, cfg.CheckThread = 1, true, true, false
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &simulation{demux: newSimulatedDemux(), refuse: make(map[*Namespace]error), poison: bytes.Repeat([]byte{0xDB}, 4<<10)}
	s.now.Store(1) // a moment other than none
	e := &Engine{
		cfg: cfg, log: cfg.Logger, epoch: time.Now(), sim: s,
		stopped: make(chan struct{}), failed: make(chan error, 1), grade: nsctx.GradePaper,
	}
	e.background, e.stopBackground = context.WithCancel(context.Background())
	e.control, e.pool = newControl(e), newPool(e)
	s.eng, s.loop = e, makeLoop(e, 0, -1, s.demux)
	e.loops = []*loop{s.loop}
	for range 4 {
		s.inputs = append(s.inputs, make([]byte, cfg.ReadChunk))
	}
	return s, nil
}

// Engine is the engine, which has no control goroutine: what needs one fails.
func (s *simulation) Engine() *Engine { return s.eng }

// AddNamespace attaches a namespace that exists nowhere else.
func (s *simulation) AddNamespace(name string) *Namespace {
	s.spaces++
	// No kernel gives such an ID: there is no device 0.
	id, err := nsctx.ParseID(fmt.Sprintf("paper:0-%d-0", s.spaces))
	if err != nil {
		panic(err) // our own bug
	}
	ns := makeNamespace(s.eng, id)
	ns.addName(name)
	ns.setState(StateServing)
	s.eng.mu.Lock()
	defer s.eng.mu.Unlock()
	s.eng.namespaces = append(slices.Clip(s.eng.namespaces), ns)
	return ns
}

// Handle serves a port in a namespace.
func (s *simulation) Handle(ns *Namespace, port int, h Handler, options ...HandleOption) {
	svc := &service{network: "tcp", port: port, handler: h}
	for _, o := range options {
		o(svc)
	}
	p := s.eng.control.addPort(ns, svc)
	ns.setBound(p, port, 1)
}

// Accept has the loop take over a socket as one that was accepted, in its next turn.
func (s *simulation) Accept(ns *Namespace, port, fd int, peer netip.AddrPort) error {
	for _, p := range ns.ports {
		if p.bound == port {
			s.loop.load.Add(1)
			s.loop.post(task{kind: taskAdopt, ep: p.eps[0], fd: accepted{fd: fd, peer: peer}})
			return nil
		}
	}
	return &Error{Op: "accept", Namespace: ns.Name(), Err: fmt.Errorf("%w: nothing listens on port %d", ErrBadHandle, port)}
}

// Turn is one turn of the loop.
func (s *simulation) Turn() {
	s.loop.turn()
	s.loop.mail.sleeping.Store(true) // so that what other goroutines post is signalled
}

// Spoil overwrites what callbacks were shown in a turn that has read so many bytes, and
// has the loop use other memory next, so that a handler that has kept some finds out.
func (s *simulation) Spoil(read int) {
	l := s.loop
	shown := min(carryMax+read, s.eng.cfg.ReadChunk)
	for _, b := range [...][]byte{l.input, l.wire} {
		for b = b[:min(shown, len(b))]; len(b) > 0; {
			b = b[copy(b, s.poison):]
		}
	}
	if l.lent == nil {
		s.inputs = append(s.inputs[1:], l.input)
		l.input = s.inputs[0]
		l.renewScratch()
	}
}

// Signal has a value after another goroutine has posted something between two turns.
func (s *simulation) Signal() <-chan struct{} { return s.demux.signal }

// Due reports whether a turn would find something to do without more time passing. If
// not, the loop would now wait, and has published its counts.
func (s *simulation) Due() bool {
	if s.loop.timeout() == 0 || s.demux.ready() {
		return true
	}
	s.loop.publish()
	return false
}

// Next is in how much time the next timer is due.
func (s *simulation) Next() (d time.Duration, armed bool) {
	when, armed := s.loop.timers.next()
	return time.Duration(when - s.now.Load()), armed
}

// Pass lets time pass. Turn does what is due then.
func (s *simulation) Pass(d time.Duration) { s.now.Add(int64(d)) }

// clockAt is the loop's time for a handler's, which goes by the wall clock: what is
// in an hour for the one is in an hour for the other.
func (s *simulation) clockAt(t time.Time) int64 {
	return later(s.now.Load(), int64(time.Until(t)))
}

// Drain starts the end of a namespace, which has Config.DrainTimeout for it.
func (s *simulation) Drain(ns *Namespace) {
	if ns.State() < StateDraining {
		ns.setState(StateDraining)
		close(ns.draining)
	}
	deadline := later(s.now.Load(), int64(s.eng.cfg.DrainTimeout))
	s.loop.post(task{kind: taskLoop, run: func(l *loop) { l.drain(ns.cells[0], deadline) }})
}

// Refuse makes entering a namespace fail, or with nil succeed again.
func (s *simulation) Refuse(ns *Namespace, err error) { s.refuse[ns] = err }

// enter is enterNamespace.
func (s *simulation) enter(ns *Namespace) error {
	if err := s.refuse[ns]; err != nil {
		s.thread.Errors++
		return fmt.Errorf("%w: %w", ErrSwitch, err)
	}
	if s.loop.at == ns {
		s.thread.Avoided++
		return nil
	}
	s.thread.Switches++
	s.loop.at = ns
	return nil
}

func (s *simulation) goHome() {
	if s.loop.at == nil {
		s.thread.Avoided++
		return
	}
	s.thread.Switches++
	s.loop.at = nil
}

// do is Namespace.do.
func (s *simulation) do(ns *Namespace, f func() error) error {
	if err := s.refuse[ns]; err != nil {
		return err
	}
	return f()
}

// simulatedDialer plays the peers of what is dialed. For each dial it watches the handler;
// for each of the dial's attempts it makes a simulated socket, which is writable when it is
// connected. See package simulate.
type simulatedDialer interface {
	Watch(h Handler) (watched Handler)
	// DialSocket is given what Watch returned, a network, and an address or a path.
	DialSocket(watched Handler, ns *Namespace, network string, peer netip.AddrPort, path string) (fd int, err error)
}

// Dialer has something make the sockets that are dialed. Before, all are refused.
func (s *simulation) Dialer(d any) { s.dialer = d.(simulatedDialer) }

func (s *simulation) watch(h Handler) Handler {
	if s.dialer == nil || h == nil {
		return h
	}
	return s.dialer.Watch(h)
}

// dialSocket is the loop's.
func (s *simulation) dialSocket(ep *endpoint, peer netip.AddrPort) (fd int, err error) {
	if s.dialer == nil {
		return -1, errRefused
	}
	path := ""
	if ep.svc.network == "unix" {
		path = ep.svc.dial.host
	}
	return s.dialer.DialSocket(ep.handler, ep.cell.ns, ep.svc.network, peer, path)
}

// Works is how many works wait for RunWork.
func (s *simulation) Works() int { return len(s.works) }

// RunWork does the work that was given to the pool first, and those that wait for its
// worker. The results are in the mailbox then.
func (s *simulation) RunWork() {
	j := s.works[0]
	s.works = s.works[1:]
	s.eng.pool.serve(j)
}

// Finish ends the loop as Engine.Shutdown does when time is up.
func (s *simulation) Finish() {
	s.loop.stopping = true
	s.loop.finish()
	for len(s.works) > 0 {
		s.RunWork() // its context has ended, and its result is dropped
	}
	close(s.loop.stopped)
	s.eng.stopBackground()
	close(s.eng.stopped)
}

// Kept says what a loop without connections still holds; nothing is right.
func (s *simulation) Kept() (kept []string) {
	l := s.loop
	for i, slot := range l.table.slots {
		if slot.conn != nil || slot.other != nil {
			kept = append(kept, fmt.Sprintf("slot %d of the table", i))
		}
	}
	for _, t := range l.timers {
		kept = append(kept, fmt.Sprintf("a timer that is due in %v", time.Duration(t.when-s.now.Load())))
	}
	if l.lent != nil {
		kept = append(kept, "the loop's scratch")
	}
	for fd := range s.demux.registered {
		kept = append(kept, fmt.Sprintf("descriptor %d in the poller", fd))
	}
	return kept
}

// Holds reports whether a connection holds buffers, which a closed one must not.
func (s *simulation) Holds(c *Conn) bool { return c.buf != nil }
