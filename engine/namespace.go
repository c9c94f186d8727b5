package engine

import (
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Namespace is a network namespace that is, or was, attached to an Engine. Its
// methods may be called by any goroutine.
type Namespace struct {
	eng   *Engine
	nsc   *nsctx.Namespace // the descriptor that pins it while attached
	id    nsctx.ID
	home  bool    // it is the process's own
	cells []*cell // one a loop
	since time.Time

	label    atomic.Pointer[string] // the oldest name
	draining chan struct{}          // closed when the state becomes StateDraining
	released chan struct{}          // closed when the state is StateReleased

	mu      sync.Mutex // guards what is below; the control goroutine writes it
	names   []string
	state   State
	entered time.Time // when state began
	ports   []*port
	handle  bool // nsc is open

	// The control goroutine's own:
	cleared int  // how many loops have nothing of it any more
	confirm bool // its end is the kernel's word, not only ours
	paths   int  // how many names in watched directories it has
	kept    bool // attached by something that is no path: only Detach ends it
	bare    bool // home, for what is done from there: the ports are not served

	listenErrors atomic.Uint64
}

// port is a service in a namespace.
type port struct {
	svc     *service
	bound   int // the port number; differs from svc.port if that is 0
	sockets int
	err     error // why it is not served
	retry   time.Duration
	eps     []*endpoint // one a loop
}

// service is a registered handler, or the one of a dialed connection.
type service struct {
	network  string
	port     int
	handler  Handler
	packets  PacketHandler // instead, if the network is "udp"
	anywhere bool
	bridge   *bridge      // instead of a handler: connections go to its Accept
	dial     dialSpec     // of a dialed connection
	file     *unixFile    // of a unix socket
	mode     *fs.FileMode // that its file is to have
}

// endpoint is a service in a namespace on a loop: all that an event needs to
// know of where it belongs.
type endpoint struct {
	// What every message touches lies in one cache line.
	cell     *cell
	handler  Handler
	anywhere bool
	moved    bool // in the loop's list of those that have something to publish
	in, out  uint64

	svc  *service
	port *port // nil for a dialed connection
}

// countIn counts bytes read. Like countOut it is the loop's.
func (l *loop) countIn(ep *endpoint, n int) {
	ep.in += uint64(n)
	l.noteMoved(ep)
}

// countOut counts bytes sent.
func (l *loop) countOut(ep *endpoint, n int) {
	ep.out += uint64(n)
	l.noteMoved(ep)
}

func (l *loop) noteMoved(ep *endpoint) {
	if !ep.moved {
		ep.moved = true
		l.moved = append(l.moved, ep)
	}
}

// publish adds what was counted to what others read.
func (ep *endpoint) publish() {
	ep.cell.bytesIn.add(ep.in)
	ep.cell.bytesOut.add(ep.out)
	ep.in, ep.out = 0, 0
}

// cell is a namespace's part on one loop. The loop writes it; the counters may
// be read by all.
type cell struct {
	// What ordering a batch touches comes first, to lie in one cache line.
	ns          *Namespace
	first, last int32 // the bucket of the batch being ordered; first is -1 when empty

	conns       *Conn // a list
	listeners   []*listener
	packetConns []*PacketConn
	draining    bool
	drained     bool // reported: nothing of it may come here any more
	deadline    timer

	bytesIn, bytesOut  counter // see endpoint.publish
	open, listening    counter
	inside             counter // works whose thread is, or will be, in it
	accepted, rejected counter
	dialed, lookups    counter // lookups are those under way
	packets            packetCounters
	errors             [errorKinds]counter

	guests guests
}

func newNamespace(e *Engine, nsc *nsctx.Namespace) *Namespace {
	ns := makeNamespace(e, nsc.ID())
	ns.nsc, ns.home, ns.handle = nsc, nsc.Same(e.home), true
	return ns
}

func makeNamespace(e *Engine, id nsctx.ID) *Namespace {
	now := time.Now()
	ns := &Namespace{
		eng: e, id: id, since: now, entered: now,
		draining: make(chan struct{}), released: make(chan struct{}),
	}
	for range e.loops {
		ns.cells = append(ns.cells, &cell{ns: ns, first: -1})
	}
	return ns
}

// ID is what the kernel tells the namespace by.
func (ns *Namespace) ID() nsctx.ID { return ns.id }

// Name is the oldest of the names that the namespace is attached by, or its ID
// if it has none. It is a label: another namespace may have had it before.
func (ns *Namespace) Name() string {
	if label := ns.label.Load(); label != nil {
		return *label
	}
	return ns.id.String()
}

// do runs f on a thread that is in the namespace, or not at all.
func (ns *Namespace) do(f func() error) error {
	if s := ns.eng.sim; s != nil {
		return s.do(ns, f)
	}
	return ns.nsc.Do(f)
}

// Names is all the names that the namespace is attached by, the oldest first.
func (ns *Namespace) Names() []string {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return slices.Clone(ns.names)
}

// State is where the namespace is on its way through the engine.
func (ns *Namespace) State() State {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.state
}

// Draining is closed when the namespace begins to drain. What runs on goroutines
// of its own, behind [Engine.Listener] or after [Conn.Detach], learns of it so.
func (ns *Namespace) Draining() <-chan struct{} { return ns.draining }

// Released is closed when the namespace is let go of: when the kernel has
// confirmed that it is gone or, after Detach or Shutdown, when nothing in this
// process holds it.
func (ns *Namespace) Released() <-chan struct{} { return ns.released }

// Port is the port on which the handler registered for a port is served here:
// the same number, or for port 0 the one that the kernel chose. It is 0 while
// the handler is not served.
func (ns *Namespace) Port(network string, registered int) int {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, p := range ns.ports {
		if p.svc.network == network && p.svc.port == registered {
			return p.bound
		}
	}
	return 0
}

func (ns *Namespace) setState(s State) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.state, ns.entered = s, time.Now()
}

func (ns *Namespace) addName(name string) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if name != "" && !slices.Contains(ns.names, name) {
		ns.names = append(ns.names, name)
		ns.label.Store(&ns.names[0])
	}
}

// removeName forgets a name and reports whether it was the last. The label
// stays, for the log lines of the namespace's end.
func (ns *Namespace) removeName(name string) (last bool) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	i := slices.Index(ns.names, name)
	if i < 0 {
		return false
	}
	if len(ns.names) > 1 {
		ns.names = slices.Delete(slices.Clone(ns.names), i, i+1)
		ns.label.Store(&ns.names[0])
		return false
	}
	return true
}

// dropPorts forgets ports that could not all be had.
func (ns *Namespace) dropPorts() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.ports = slices.DeleteFunc(ns.ports, func(p *port) bool { return p.svc.file == nil })
}

// dropPort forgets a service that is no more.
func (ns *Namespace) dropPort(svc *service) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.ports = slices.DeleteFunc(ns.ports, func(p *port) bool { return p.svc == svc })
}

func (ns *Namespace) enteredAt() time.Time {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.entered
}

func (ns *Namespace) holdsHandle() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.handle
}

func (ns *Namespace) closeHandle() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.handle = false
	_ = ns.nsc.Close() // close(2) frees the descriptor whatever it returns
}

// markReleased reports whether it was not released before.
func (ns *Namespace) markReleased() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.state == StateReleased {
		return false
	}
	ns.state = StateReleased
	return true
}

// stats is the namespace's part of a snapshot.
func (ns *Namespace) stats() NamespaceStats {
	ns.mu.Lock()
	s := NamespaceStats{
		ID: ns.id, Names: slices.Clone(ns.names), State: ns.state, Since: ns.entered, Attached: ns.since,
		Holds: Holds{Handle: ns.handle},
	}
	for _, p := range ns.ports {
		ls := ListenerStats{Network: p.svc.network, Port: p.bound, Sockets: p.sockets, Err: p.err}
		if p.svc.file != nil {
			ls.Path = p.svc.file.path
		}
		s.Listeners = append(s.Listeners, ls)
	}
	ns.mu.Unlock()
	for i, c := range ns.cells {
		s.Conns += int(c.open.load()) + c.guests.len()
		s.Holds.Listeners += int(c.listening.load())
		s.Holds.PacketConns += int(c.packets.conns.load())
		s.Packets.Add(c.packets.load())
		s.Holds.Work += int(c.inside.load())
		s.Accepted += c.accepted.load()
		s.Rejected += c.rejected.load()
		s.BytesIn += c.bytesIn.load() + c.guests.in.Load()
		s.BytesOut += c.bytesOut.load() + c.guests.out.Load()
		s.Dialed += c.dialed.load()
		s.Holds.Lookups += int(c.lookups.load())
		for k := range c.errors {
			s.Errors[k] += c.errors[k].load()
		}
		if ns.eng.loops[i].parked.Load() == ns {
			s.Holds.ParkedLoops = append(s.Holds.ParkedLoops, i)
		}
	}
	s.Holds.Conns = s.Conns
	s.Errors[ErrorListen] += ns.listenErrors.Load()
	return s
}

// connections is the number of open ones, on all loops and off them.
func (ns *Namespace) connections() int {
	n := 0
	for _, c := range ns.cells {
		n += int(c.open.load()) + c.guests.len()
	}
	return n
}

func (c *cell) add(conn *Conn) {
	conn.group.next = c.conns
	if c.conns != nil {
		c.conns.group.prev = conn
	}
	c.conns = conn
	c.open.inc()
}

func (c *cell) remove(conn *Conn) {
	switch {
	case conn.group.prev != nil:
		conn.group.prev.group.next = conn.group.next
	default:
		c.conns = conn.group.next
	}
	if conn.group.next != nil {
		conn.group.next.group.prev = conn.group.prev
	}
	conn.group = connLinks{}
	c.open.dec()
}
