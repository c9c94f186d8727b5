package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/nsreactor/nsreactor/nsctx"
)

// Resolver looks up the names that are dialed. Package nsctx/resolver has one. If
// it has a method Forget(nsctx.ID), that is called when a namespace is released.
type Resolver interface {
	// LookupNetIP returns the addresses of a host as seen from within a namespace:
	// at least one, or an error. The name is the one by which the namespace is
	// attached, which says whose configuration applies, as in ip-netns(8); it is
	// "" for the process's own namespace. It may block, is called by several
	// goroutines, and has to return soon when ctx ends.
	LookupNetIP(ctx context.Context, ns *nsctx.Namespace, name, host string) ([]netip.Addr, error)
}

// ErrResolve ends a dial whose name has no address to be tried.
var ErrResolve = errors.New("cannot resolve")

// How many names are looked up at a time: in all, and for one namespace, so that
// a tenant with a name server that does not answer keeps no other waiting.
const (
	maxLookups             = 64
	maxLookupsPerNamespace = 8
)

// lookups runs lookups off the loops. Those above the limits wait, in order.
type lookups struct {
	eng *Engine

	mu      sync.Mutex
	running int
	busy    map[*Namespace]int // how many of them are of it
	waiting []*lookup
	stopped bool
}

// lookup is a name that is looked up, or waits to be, and the dial that it is for.
type lookup struct {
	dial   *dial
	ns     *Namespace
	host   string
	ctx    context.Context
	cancel context.CancelFunc
}

func newLookups(e *Engine) *lookups { return &lookups{eng: e, busy: make(map[*Namespace]int)} }

// startLookup has a dial's name looked up. The loop hears of it whatever comes,
// unless it has stopped; until then the namespace is in use.
func (l *loop) startLookup(d *dial) {
	c := d.conn
	up := &lookup{dial: d, ns: c.ep.cell.ns, host: c.ep.svc.dial.host}
	up.ctx, up.cancel = context.WithTimeout(l.eng.background, c.ep.svc.dial.timeout)
	d.cancel = up.cancel
	c.ep.cell.lookups.inc()
	if l.eng.sim != nil {
		addrs, err := up.resolve(l.eng)
		up.cancel()
		l.resolved(d, addrs, err)
		return
	}
	l.eng.lookups.add(up)
}

func (ls *lookups) add(up *lookup) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.stopped {
		up.cancel()
		return
	}
	ls.waiting = append(ls.waiting, up)
	if next := ls.next(); next != nil {
		ls.eng.workers.Go(func() { ls.work(next) })
	}
}

// work runs a lookup, and then those that waited for it to end.
func (ls *lookups) work(up *lookup) {
	for ; up != nil; up = ls.done(up) {
		up.run(ls.eng)
	}
}

// next takes the first lookup out of the queue that may run, if there is one.
func (ls *lookups) next() *lookup {
	if ls.running == maxLookups {
		return nil
	}
	i := slices.IndexFunc(ls.waiting, func(up *lookup) bool { return ls.busy[up.ns] < maxLookupsPerNamespace })
	if i < 0 {
		return nil
	}
	up := ls.waiting[i]
	ls.waiting = slices.Delete(ls.waiting, i, i+1)
	ls.running++
	ls.busy[up.ns]++
	return up
}

func (ls *lookups) done(up *lookup) (next *lookup) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.running--
	if ls.busy[up.ns]--; ls.busy[up.ns] == 0 {
		delete(ls.busy, up.ns)
	}
	return ls.next()
}

// stop has all that runs end soon, and refuses what comes later: the engine
// waits for its workers.
func (ls *lookups) stop() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.stopped = true
}

func (up *lookup) run(e *Engine) {
	defer up.cancel()
	addrs, err := up.resolve(e)
	up.dial.conn.loop.post(task{kind: taskLoop, run: func(l *loop) { l.resolved(up.dial, addrs, err) }})
}

func (up *lookup) resolve(e *Engine) ([]netip.Addr, error) {
	if err := up.ctx.Err(); err != nil {
		return nil, err // it has waited for too long, or the dial is over
	}
	name := up.ns.Name()
	if up.ns.home {
		name = ""
	}
	return e.cfg.Resolver.LookupNetIP(up.ctx, up.ns.nsc, name, up.host)
}

// resolved goes on with a dial whose name has been looked up.
func (l *loop) resolved(d *dial, addrs []netip.Addr, err error) {
	c := d.conn
	c.ep.cell.lookups.dec()
	if c.stage != stageConnecting {
		return
	}
	d.cancel = nil
	svc := c.ep.svc
	for _, addr := range interleave(addrs) {
		if addr = addr.Unmap(); svc.takes(addr) && len(d.untried) < maxAddresses {
			d.untried = append(d.untried, netip.AddrPortFrom(addr, uint16(svc.port)))
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		l.giveUp(c, ErrorDialTimeout, fmt.Errorf("%w: %w", ErrDialTimeout, err))
	case err != nil:
		l.giveUp(c, ErrorResolve, fmt.Errorf("%w: %w", ErrResolve, err))
	case len(d.untried) == 0:
		l.giveUp(c, ErrorResolve, fmt.Errorf("%w: no address for %q among %v", ErrResolve, svc.network, addrs))
	default:
		l.tryNext(d)
	}
}

// interleave orders addresses as RFC 8305, section 4, has them tried: the
// families take turns, IPv6 first, each in the order that the resolver had
// them in.
func interleave(addrs []netip.Addr) []netip.Addr {
	var six, four []netip.Addr
	for _, addr := range addrs {
		if addr.Unmap().Is4() {
			four = append(four, addr)
		} else {
			six = append(six, addr)
		}
	}
	mixed := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(six), len(four)) {
		mixed = append(mixed, six[min(i, len(six)):min(i+1, len(six))]...)
		mixed = append(mixed, four[min(i, len(four)):min(i+1, len(four))]...)
	}
	return mixed
}
