package middleware

import (
	"sync"
	"sync/atomic"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// Limits bound how many connections are open at once. What is above them is reset in
// OnOpen, before the handler hears of it, for an [ErrTooMany] or [ErrTooManyOfPeer]. Of
// limits that hold for all handlers, see Config.MaxConns and MaxConnsPerNamespace, which
// reset sooner. A connection that was detached ([engine.Conn.Detach]) counts for those two only.
type Limits struct {
	// PerNamespace is how many a namespace may have. 0 is no limit.
	PerNamespace int
	// PerPeer is how many an address may have in a namespace: the one that a PROXY header
	// declares, if Limits are inside of ProxyProtocol. 0 is no limit. A peer has memory
	// while it has a connection. Unix sockets' peers have no address, and no limit.
	PerPeer int
	// IPv6Bits is how much of an IPv6 address tells peers apart. Default: 64.
	IPv6Bits int
	// Reply, if it is not empty, is a last word to those that are refused: they are then
	// closed in order, and count as connections of the engine until that is done.
	Reply []byte

	mu   sync.Mutex // held for two look-ups a connection
	open map[place]int

	refused [2]atomic.Uint64
}

// LimitsStats is what Limits have let in, and not.
type LimitsStats struct {
	Open             int    // connections, now
	Namespaces       int    // that have one
	Peers            int    // that have one, if there is a limit for them
	RefusedNamespace uint64 // above PerNamespace
	RefusedPeer      uint64 // above PerPeer
}

// Stats may be called by any goroutine.
func (l *Limits) Stats() LimitsStats {
	s := LimitsStats{RefusedNamespace: l.refused[0].Load(), RefusedPeer: l.refused[1].Load()}
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, n := range l.open {
		if p.peer.IsValid() {
			s.Peers++
			continue
		}
		s.Namespaces++
		s.Open += n
	}
	return s
}

// Counters are the Stats, for metrics.
func (l *Limits) Counters() []tally.Sample {
	const help = "Connections refused because of a limit, by whose it was."
	s := l.Stats()
	return []tally.Sample{
		tally.Count("limit_refused_total", help, s.RefusedNamespace).By("limit", "namespace"),
		tally.Count("limit_refused_total", help, s.RefusedPeer).By("limit", "peer"),
		tally.Gauge("limit_connections", "Connections that count towards the limits.", float64(s.Open)),
		tally.Gauge("limit_peers", "Peers with a connection that counts.", float64(s.Peers)),
	}
}

// Wrap is a [Middleware].
func (l *Limits) Wrap(h engine.Handler) engine.Handler { return &limiting{Base{h}, l} }

type limiting struct {
	Base
	*Limits
}

// seat is what a connection takes up. It is the connection's value under its *limiting.
type seat struct{ ns, peer place }

func (w *limiting) OnOpen(c *engine.Conn) {
	s := &seat{ns: place{ns: c.Namespace()}}
	if w.PerPeer > 0 {
		s.peer, _ = peerOf(c, w.IPv6Bits)
	}
	if err := w.take(s); err != nil {
		w.RefuseWith(c, w.Reply, err)
		return
	}
	c.SetValue(w, s)
	w.Handler.OnOpen(c)
}

func (w *limiting) OnClose(c *engine.Conn, err error) {
	if s, ok := c.Value(w).(*seat); ok {
		w.leave(s)
	}
	w.Base.OnClose(c, err)
}

// take counts a connection, or says why not.
func (l *Limits) take(s *seat) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.PerNamespace > 0 && l.open[s.ns] >= l.PerNamespace:
		l.refused[0].Add(1)
		return ErrTooMany
	case s.peer.peer.IsValid() && l.open[s.peer] >= l.PerPeer:
		l.refused[1].Add(1)
		return ErrTooManyOfPeer
	}
	if l.open == nil {
		l.open = make(map[place]int)
	}
	l.open[s.ns]++
	if s.peer.peer.IsValid() {
		l.open[s.peer]++
	}
	return nil
}

func (l *Limits) leave(s *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(s.ns)
	if s.peer.peer.IsValid() {
		l.drop(s.peer)
	}
}

func (l *Limits) drop(p place) {
	if l.open[p]--; l.open[p] == 0 {
		delete(l.open, p)
	}
}
