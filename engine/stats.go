package engine

import (
	"time"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Stats is a snapshot of an Engine: what its loops have done and what its
// namespaces hold. The numbers of one snapshot are not all of the same moment:
// each is exact if its loop waits; that of a busy loop may be 10 ms and a turn
// old where it counts bytes or switches. The bytes of a connection are in it when
// its OnClose is called.
type Stats struct {
	// Loops has one entry a loop, in order of their index.
	Loops []LoopStats
	// Namespaces has one entry for every namespace that is serving or
	// draining, in order of attachment.
	Namespaces []NamespaceStats
	// Work is what the pool has done and holds.
	Work WorkStats
	// Gone adds up what the namespaces counted that are listed no more, so that
	// a total over both never falls.
	Gone Totals
	// Released counts the namespaces of which the kernel has confirmed that
	// nothing holds them any more.
	Released uint64
	// Abandoned counts the namespaces that were given up on without such a
	// confirmation: the kernel offers none, or the engine stopped first.
	Abandoned uint64
	// AttachErrors counts the namespaces that a watch found and could not
	// attach, tries included.
	AttachErrors uint64
	// IdentityGrade is how the namespaces attached last are told apart.
	IdentityGrade nsctx.Grade
	// Started is when New returned.
	Started time.Time
	// Draining is set from Shutdown on.
	Draining bool
	// Stopped is set when no loop runs any more.
	Stopped bool
}

// LoopStats is what one event loop has done since it started.
type LoopStats struct {
	Index int
	// CPU is the processor that the loop is pinned to, or -1.
	CPU int
	// TID is the loop's thread id, as in gettid(2).
	TID int

	Turns       uint64 // iterations of the loop that had something to do
	Events      uint64 // readiness events handled
	StaleEvents uint64 // events of a closed registration, dropped
	Waits       uint64 // epoll_wait(2) calls
	Tasks       uint64 // mailbox tasks run
	Timers      uint64 // timers fired
	Panics      uint64 // handler panics recovered
	Stalls      uint64 // turns that went on for longer than Config.StallAfter
	Strays      uint64 // handlers that left the thread in another namespace (Config.CheckThread)

	Switches        uint64        // setns(2) calls
	SwitchesAvoided uint64        // times the thread already was where it had to be
	SwitchErrors    uint64        // setns(2) calls that failed
	SwitchTime      time.Duration // time spent in setns(2)

	Conns       int // connections open now
	Listeners   int // listeners registered now
	PacketConns int // packet sockets registered now
	Mailbox     int // tasks waiting now

	// Namespace names where the thread was at the end of its last turn; "" is
	// home.
	Namespace string
	// Busy is for how long the present turn has gone on; 0 while waiting. A
	// loop that a handler blocks shows here first.
	Busy time.Duration

	// TurnSeconds is the distribution of the time that a turn takes, which is
	// what the last event of a batch waits: the loop's lag.
	TurnSeconds Histogram
	// BatchEvents is the distribution of events a turn.
	BatchEvents Histogram
}

// NamespaceStats is what one attached namespace has done and holds.
type NamespaceStats struct {
	ID    nsctx.ID
	Names []string // labels, the oldest first
	State State
	// Since is when the namespace entered State.
	Since time.Time
	// Attached is when it was attached.
	Attached time.Time

	Conns    int    // connections open now
	Accepted uint64 // connections accepted
	Dialed   uint64 // connections made by Dial
	Rejected uint64 // connections closed at once because of a limit or a drain
	BytesIn  uint64
	BytesOut uint64
	Packets  PacketStats
	Errors   ErrorCounts

	Listeners []ListenerStats
	Holds     Holds
}

// Totals adds up the counters of several namespaces.
type Totals struct {
	Accepted, Dialed, Rejected, BytesIn, BytesOut uint64
	Packets                                       PacketStats
	Errors                                        ErrorCounts
}

// Add adds a namespace's counters.
func (t *Totals) Add(ns *NamespaceStats) {
	t.Accepted += ns.Accepted
	t.Dialed += ns.Dialed
	t.Rejected += ns.Rejected
	t.BytesIn += ns.BytesIn
	t.BytesOut += ns.BytesOut
	t.Packets.Add(ns.Packets)
	for kind, n := range ns.Errors {
		t.Errors[kind] += n
	}
}

// PacketStats counts datagrams. Their bytes are among the namespace's.
type PacketStats struct {
	In        uint64 // received
	Out       uint64 // that the kernel took
	Dropped   uint64 // that it did not take, or that waited for it in vain
	Missed    uint64 // that came when a socket's receive buffer was full, as far as later ones say
	Truncated uint64 // received, but longer than Config.PacketMax
}

// Add adds other counts.
func (s *PacketStats) Add(o PacketStats) {
	s.In += o.In
	s.Out += o.Out
	s.Dropped += o.Dropped
	s.Missed += o.Missed
	s.Truncated += o.Truncated
}

// ListenerStats is one port of one namespace.
type ListenerStats struct {
	Network string // "tcp", "udp" or "unix"
	Port    int    // the port that was bound
	Path    string // of a unix socket
	Sockets int    // how many sockets share it; 0 while Err is set
	Err     error  // why the port is not served, until a retry succeeds
}

// Holds lists the references by which this process keeps a namespace alive.
// When all are zero and the namespace is still draining, somebody else holds
// it: another process, or a socket that the kernel is still closing.
type Holds struct {
	Handle      bool  // the namespace's own descriptor
	Listeners   int   // listening sockets
	PacketConns int   // packet sockets
	Conns       int   // connections, also those that are being dialed
	Lookups     int   // names being looked up in it
	ParkedLoops []int // loops whose thread is in the namespace
	Work        int   // works that wanted to be in it (Work.InNamespace) and have not returned
}

// Ours reports whether this process holds the namespace at all.
func (h Holds) Ours() bool {
	return h.Handle || h.Listeners > 0 || h.PacketConns > 0 || h.Conns > 0 || h.Lookups > 0 || h.Work > 0 || len(h.ParkedLoops) > 0
}

// ErrorKind says what went wrong, for counting.
type ErrorKind uint8

// The kinds of error that are counted for a namespace.
const (
	ErrorAccept       ErrorKind = iota // accept4(2) failed for a reason not named below
	ErrorAcceptLimit                   // EMFILE, ENFILE: out of descriptors
	ErrorAcceptMemory                  // ENOBUFS, ENOMEM
	ErrorAcceptAbort                   // ECONNABORTED, EPROTO: the peer left before accept4(2)
	ErrorListen                        // a listener could not be made
	ErrorRead                          // recv(2) failed; a peer's reset counts here
	ErrorWrite                         // send(2) failed
	ErrorOverflow                      // a Write beyond Config.WriteBufferMax
	ErrorSwitch                        // setns(2) failed
	ErrorPanic                         // a handler panicked
	ErrorStray                         // a handler left the thread in another namespace
	ErrorIdle                          // closed by the idle timeout
	ErrorDeadline                      // closed by its deadline
	ErrorLinger                        // reset: the peer took too long to take the last bytes
	ErrorDrain                         // reset: still open when the drain ended
	ErrorRegister                      // epoll_ctl(2) failed
	ErrorBusy                          // work was not taken: too much of it waited
	ErrorWorkStuck                     // closed: its work did not return
	ErrorHandler                       // ended by its handler: Conn.Fail, Conn.CloseWith
	ErrorFilter                        // ended by its filter: what arrived, or was to be sent, was no good
	ErrorDial                          // a connection could not be made
	ErrorDialTimeout                   // a connection was not made in time
	ErrorResolve                       // a name that was dialed could not be resolved
	ErrorDialLimit                     // a Dial beyond a limit of connections
	errorKinds
)

var errorKindNames = [errorKinds]string{
	"accept", "accept_limit", "accept_memory", "accept_abort", "listen", "read", "write", "overflow",
	"switch", "panic", "stray", "idle", "deadline", "linger", "drain", "register",
	"busy", "work_stuck", "handler", "filter", "dial", "dial_timeout", "resolve", "dial_limit",
}

// String is the kind's name as metrics show it: "accept_limit".
func (k ErrorKind) String() string {
	if k >= errorKinds {
		return "unknown"
	}
	return errorKindNames[k]
}

// ErrorKinds lists all kinds.
func ErrorKinds() []ErrorKind {
	all := make([]ErrorKind, errorKinds)
	for i := range all {
		all[i] = ErrorKind(i)
	}
	return all
}

// ErrorCounts counts errors, indexed by [ErrorKind].
type ErrorCounts [errorKinds]uint64

// Histogram is a snapshot of a distribution. Counts has one entry for each
// bound, of the observations at or below it and above the bound before, and a
// last one for those above all bounds.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

// Count is the number of observations.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}
