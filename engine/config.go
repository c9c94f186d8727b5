package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

// SwitchPolicy says when a loop's thread changes its namespace.
type SwitchPolicy uint8

const (
	// SwitchOnChange switches when the namespace that a callback needs is not
	// the one that the thread is in.
	SwitchOnChange SwitchPolicy = iota
	// SwitchAlways switches in before and back home after each event, but for
	// handlers with AnyNamespace. It is the baseline that the paper argues
	// against, here to measure by.
	SwitchAlways
)

// AcceptPolicy says how connections find their loop.
type AcceptPolicy uint8

const (
	// AcceptSteered gives each loop a listener of its own on every port, in a
	// reuseport group (socket(7), SO_REUSEPORT) that is steered by CPU
	// (SO_ATTACH_REUSEPORT_CBPF): a connection is accepted by the loop of the
	// CPU that its handshake came in on, and stays there with its NIC queue.
	// With one loop there is one listener and no group. Where the kernel
	// refuses the group, the port falls back to AcceptSpread.
	//
	// Any process of the same user in the same namespace can join the group
	// and take a share of the connections.
	AcceptSteered AcceptPolicy = iota
	// AcceptSpread gives each port one listener, on one loop, which hands
	// every connection to the loop that has the fewest.
	AcceptSpread
)

// Config is how an Engine works. The zero Config is a good one: each field's
// zero value stands for the default that is named with it.
type Config struct {
	// Loops is the number of event loops. Default: one for each CPU that the
	// process may use (sched_getaffinity(2)).
	Loops int
	// Unpinned leaves the loops' threads to the scheduler. By default loop i
	// is pinned to the i-th CPU that the process may use, round robin.
	Unpinned bool
	// KeepMaxProcs leaves runtime.GOMAXPROCS alone. By default New raises it to
	// one more than Loops if it is lower: the loops hold on to their processors
	// while they are busy, and everything else in the program needs one too.
	// It also halves what a loop costs that has little to do.
	KeepMaxProcs bool
	// Accept says how connections find their loop. Default: AcceptSteered.
	// Loops that are not pinned, or are more than the CPUs, spread.
	Accept AcceptPolicy
	// Switch says when threads change namespace. Default: SwitchOnChange.
	Switch SwitchPolicy
	// CheckThread asks the kernel after every callback whether the thread is
	// still where it should be: about two microseconds each, for tests and for
	// the hunt. A handler that strayed is counted and logged, its connection
	// closed with ErrStrayed, and its thread brought back.
	CheckThread bool

	// Backlog is the length of a listener's queue, listen(2). The kernel
	// lowers it to the namespace's net.core.somaxconn. Default: 4096.
	Backlog int
	// MaxConns limits the open connections of the engine; 0 is no limit. A
	// connection above a limit is accepted and reset, and counted as rejected.
	MaxConns int
	// MaxConnsPerNamespace limits those of one namespace; 0 is no limit. It holds for home
	// too, where a proxy's connections to its backends may all be: to limit tenants alone,
	// there is package middleware.
	MaxConnsPerNamespace int

	// ReadChunk is how many bytes one recv(2) of a connection may bring, and
	// so how many it may have a turn. Default: 64 KiB. Minimum: 4 KiB.
	ReadChunk int
	// ReadBufferMax is how many unread bytes are kept for a connection; above
	// it, reading stops until the handler consumes some. Default: 1 MiB.
	ReadBufferMax int
	// WriteHighWater is the number of unsent bytes above which a connection
	// is not read any more; reading goes on, and OnWritable is called, when
	// half of it or less is left. Default: 64 KiB.
	WriteHighWater int
	// WriteBudget is how many bytes a connection may send a turn before Conn.Proceed and
	// Conn.Yield let the others have theirs. Default: 128 KiB.
	WriteBudget int
	// WriteBufferMax is the number of unsent bytes above which a Write fails
	// with ErrOverflow. Default: 64 MiB.
	WriteBufferMax int

	// PacketMax is the length in bytes of the longest datagram that a packet handler gets;
	// the rest of a longer one is lost. Default: 65535, which none is longer than.
	PacketMax int
	// PacketBatch is how many datagrams one recvmmsg(2) may bring, and so how many a
	// packet socket may a turn. A loop with packet sockets takes PacketBatch times
	// PacketMax bytes of address space, and memory where they have been touched.
	// Default: 64.
	PacketBatch int
	// PacketBacklog is how many bytes, 128 more for each datagram included, may wait for room
	// in a packet socket's send buffer; what comes above it is dropped. Default: 1 MiB.
	PacketBacklog int

	// AcceptBudget is how many connections a listener may accept a turn.
	// Default: 64.
	AcceptBudget int
	// TaskBudget is how many mailbox tasks a loop runs a turn. Default: 256.
	TaskBudget int

	// Workers is how many works may run at once; see Conn.Go. Default: 64.
	Workers int
	// WorkQueue is how many works of one namespace may wait. Default: 1024.
	WorkQueue int
	// WorkTimeout is how long a work may wait and run before its context ends.
	// Default: 30 s.
	WorkTimeout time.Duration

	// IdleTimeout ends connections on which nothing moves for that long; 0 is
	// never. Conn.SetIdleTimeout changes it for one.
	IdleTimeout time.Duration
	// DialTimeout is how long Dial tries to connect. Default: 10 s.
	DialTimeout time.Duration
	// Resolver looks up the names that are dialed. Default: a resolver.Resolver
	// (package nsctx/resolver).
	Resolver Resolver
	// LingerTimeout is how long a closing connection waits for its peer to
	// make progress: to take bytes, then to close its half. Default: 5 s.
	LingerTimeout time.Duration
	// DrainTimeout is how long connections have after OnDrain before they are
	// reset. Default: 10 s.
	DrainTimeout time.Duration
	// KeepAlive is the idle time before and between the probes of TCP
	// keepalive, at most 32767 s; five unanswered ones end a connection.
	// Negative: none. Default: 15 s. It is what notices that an interface was
	// removed.
	KeepAlive time.Duration
	// UserTimeout is how long sent bytes may stay unacknowledged before the
	// kernel gives a connection up (TCP_USER_TIMEOUT). Negative: the kernel's
	// own, about 15 minutes. Default: 30 s.
	UserTimeout time.Duration
	// ParkTimeout is how long an idle loop's thread stays in a namespace that
	// is not home. Default: 100 ms.
	ParkTimeout time.Duration
	// StallAfter is how long a turn may take before the loop counts as stalled
	// and a log line names the namespace and port. Default: 1 s.
	StallAfter time.Duration

	// Logger gets what an operator should know. Default: slog.Default().
	Logger *slog.Logger
}

// withDefaults fills in what was left zero and says what can't be.
func (c Config) withDefaults() (Config, error) {
	cpus := len(allowedCPUs())
	setDefault(&c.Loops, max(cpus, 1))
	setDefault(&c.Backlog, 4096)
	setDefault(&c.ReadChunk, 64<<10)
	setDefault(&c.ReadBufferMax, max(1<<20, c.ReadChunk))
	setDefault(&c.WriteHighWater, 64<<10)
	setDefault(&c.WriteBudget, 128<<10)
	setDefault(&c.WriteBufferMax, max(64<<20, c.WriteHighWater))
	setDefault(&c.PacketMax, maxDatagram)
	setDefault(&c.PacketBatch, 64)
	setDefault(&c.PacketBacklog, 1<<20)
	setDefault(&c.AcceptBudget, 64)
	setDefault(&c.TaskBudget, 256)
	setDefault(&c.Workers, 64)
	setDefault(&c.WorkQueue, 1024)
	setDefault(&c.WorkTimeout, 30*time.Second)
	setDefault(&c.DialTimeout, 10*time.Second)
	setDefault(&c.LingerTimeout, 5*time.Second)
	setDefault(&c.DrainTimeout, 10*time.Second)
	setDefault(&c.KeepAlive, 15*time.Second)
	setDefault(&c.UserTimeout, 30*time.Second)
	setDefault(&c.ParkTimeout, 100*time.Millisecond)
	setDefault(&c.StallAfter, time.Second)
	if c.Resolver == nil {
		c.Resolver = resolver.New(resolver.Config{})
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Unpinned || c.Loops > cpus {
		c.Accept = AcceptSpread
	}
	return c, c.check()
}

func (c Config) check() error {
	return errors.Join(c.checkNumbers(), c.checkDurations())
}

func (c Config) checkNumbers() error {
	for _, f := range []struct {
		name     string
		got      int
		min, max int
	}{
		{"Loops", c.Loops, 1, 1024},
		{"Backlog", c.Backlog, 1, 1 << 20},
		{"MaxConns", c.MaxConns, 0, 1 << 31},
		{"MaxConnsPerNamespace", c.MaxConnsPerNamespace, 0, 1 << 31},
		{"ReadChunk", c.ReadChunk, 4 << 10, 16 << 20},
		{"ReadBufferMax", c.ReadBufferMax, c.ReadChunk, 1 << 30},
		{"WriteHighWater", c.WriteHighWater, 1, 1 << 30},
		{"WriteBudget", c.WriteBudget, 1, 1 << 30},
		{"WriteBufferMax", c.WriteBufferMax, c.WriteHighWater, 1 << 30},
		{"PacketMax", c.PacketMax, 64, maxDatagram},
		{"PacketBatch", c.PacketBatch, 1, 1024},
		{"PacketBacklog", c.PacketBacklog, 1, 1 << 30},
		{"AcceptBudget", c.AcceptBudget, 1, 1 << 20},
		{"TaskBudget", c.TaskBudget, 1, 1 << 20},
		{"Workers", c.Workers, 1, 1 << 20},
		{"WorkQueue", c.WorkQueue, 1, 1 << 30},
		{"Switch", int(c.Switch), 0, int(SwitchAlways)},
		{"Accept", int(c.Accept), 0, int(AcceptSpread)},
	} {
		if f.got < f.min || f.got > f.max {
			return &Error{Op: "new", Err: fmt.Errorf("%w: %s is %d, not within %d to %d", ErrBadConfig, f.name, f.got, f.min, f.max)}
		}
	}
	return nil
}

// The longest times that the kernel takes: TCP_KEEPIDLE ends at 32767 s, and
// TCP_USER_TIMEOUT is an int of milliseconds.
const (
	maxKeepAlive   = 32767 * time.Second
	maxUserTimeout = math.MaxInt32 * time.Millisecond
)

// longest is the longest time for everything else: 146 years, which two of can
// be added.
const longest time.Duration = 1 << 62

func (c Config) checkDurations() error {
	for _, f := range []struct {
		name     string
		got      time.Duration
		min, max time.Duration
	}{
		{"IdleTimeout", c.IdleTimeout, 0, longest},
		{"WorkTimeout", c.WorkTimeout, 1, longest},
		{"DialTimeout", c.DialTimeout, 1, longest},
		{"LingerTimeout", c.LingerTimeout, 1, longest},
		{"DrainTimeout", c.DrainTimeout, 1, longest},
		{"KeepAlive", c.KeepAlive, math.MinInt64, maxKeepAlive},
		{"UserTimeout", c.UserTimeout, math.MinInt64, maxUserTimeout},
		{"ParkTimeout", c.ParkTimeout, 1, longest},
		{"StallAfter", c.StallAfter, 1, longest},
	} {
		if f.got < f.min || f.got > f.max {
			return &Error{Op: "new", Err: fmt.Errorf("%w: %s is %v, not within %v to %v", ErrBadConfig, f.name, f.got, f.min, f.max)}
		}
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
