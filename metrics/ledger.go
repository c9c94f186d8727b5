package metrics

import (
	"slices"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// otherName is the netns label of the namespaces that have no series of their
// own. A real namespace of that name has a netns_id besides.
const otherName = "_other"

// listedStates are the states in which a namespace is in a snapshot.
var listedStates = [...]engine.State{engine.StateAttaching, engine.StateServing, engine.StateDraining}

// counters are the numbers of a namespace that only grow.
type counters struct {
	accepted, dialed, rejected, bytesIn, bytesOut uint64
	packets                                       engine.PacketStats
	errors                                        engine.ErrorCounts
}

func (c *counters) add(o *counters) {
	c.accepted += o.accepted
	c.dialed += o.dialed
	c.rejected += o.rejected
	c.bytesIn += o.bytesIn
	c.bytesOut += o.bytesOut
	c.packets.Add(o.packets)
	for kind, n := range o.errors {
		c.errors[kind] += n
	}
}

// since is by how much c has grown from before.
func (c *counters) since(before *counters) counters {
	d := counters{
		accepted: growth(before.accepted, c.accepted),
		dialed:   growth(before.dialed, c.dialed),
		rejected: growth(before.rejected, c.rejected),
		bytesIn:  growth(before.bytesIn, c.bytesIn),
		bytesOut: growth(before.bytesOut, c.bytesOut),
		packets: engine.PacketStats{
			In:        growth(before.packets.In, c.packets.In),
			Out:       growth(before.packets.Out, c.packets.Out),
			Dropped:   growth(before.packets.Dropped, c.packets.Dropped),
			Missed:    growth(before.packets.Missed, c.packets.Missed),
			Truncated: growth(before.packets.Truncated, c.packets.Truncated),
		},
	}
	for kind, n := range c.errors {
		d.errors[kind] = growth(before.errors[kind], n)
	}
	return d
}

// growth takes a number that fell to have begun anew, as PromQL's rate does.
func growth(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// gauges are the numbers of a namespace, or of several, that go up and down.
type gauges struct {
	conns, listeners, failed int
	states                   [len(listedStates)]int
	draining                 time.Duration // of the namespace that has been at it longest
	heldHere, heldElsewhere  int           // draining, with and without our doing
}

func (g *gauges) add(o *gauges) {
	g.conns += o.conns
	g.listeners += o.listeners
	g.failed += o.failed
	for i, n := range o.states {
		g.states[i] += n
	}
	g.draining = max(g.draining, o.draining)
	g.heldHere += o.heldHere
	g.heldElsewhere += o.heldElsewhere
}

func gaugesOf(ns *engine.NamespaceStats, now time.Time) gauges {
	g := gauges{conns: ns.Conns}
	for _, l := range ns.Listeners {
		if l.Err != nil {
			g.failed++
		} else {
			g.listeners++
		}
	}
	for i, s := range listedStates {
		if ns.State == s {
			g.states[i] = 1
		}
	}
	if ns.State != engine.StateDraining {
		return g
	}
	g.draining = max(0, now.Sub(ns.Since))
	if ns.Holds.Ours() {
		g.heldHere = 1
	} else {
		g.heldElsewhere = 1
	}
	return g
}

func countersOf(ns *engine.NamespaceStats) counters {
	return counters{
		accepted: ns.Accepted,
		dialed:   ns.Dialed,
		rejected: ns.Rejected,
		bytesIn:  ns.BytesIn,
		bytesOut: ns.BytesOut,
		packets:  ns.Packets,
		errors:   ns.Errors,
	}
}

// row is what is shown under one pair of netns labels.
type row struct {
	name, id string
	created  time.Time // when its counters began
	counters counters
	gauges   gauges
}

// page is what one snapshot comes to.
type page struct {
	rows   []row         // one for each namespace with its own series, and maybe one for the others
	folded int           // namespaces in the latter
	totals engine.Totals // of the namespaces that are, and of those that were
	all    gauges        // of all namespaces
}

// account is what the ledger remembers of a namespace that is listed. It may be
// listed twice, when it was attached again while an earlier attachment is
// still draining; its series show both.
type account struct {
	name        string
	id          string
	created     time.Time // when it was attached first
	attachments []attachment
	counters    counters // of all its attachments, also of those that ended
	grown       counters // since the last snapshot
	gauges      gauges
	listed      uint64 // the last snapshot that lists it
	own         bool   // it has series of its own
	folded      bool   // it had none at the last snapshot
}

// attachment is a namespace from Attach to release; the next one's counters
// begin at zero again.
type attachment struct {
	at     time.Time
	last   counters // as of the last snapshot
	listed uint64
}

// ledger turns snapshots, in which namespaces come and go, into counters that
// never fall, and decides which namespaces are shown by themselves.
type ledger struct {
	identity func(*engine.NamespaceStats) string
	limit    int // negative: none
	own      int // accounts with series of their own
	posted   uint64
	accounts map[string]*account // by identity
	other    counters            // what namespaces counted while they were folded
	folding  bool                // some namespace has been folded once
}

// identity is what a namespace's series and account go by: the text of its ID,
// which is the same only for the same ID.
func identity(ns *engine.NamespaceStats) string { return ns.ID.String() }

func newLedger(limit int) ledger {
	if limit == 0 {
		limit = DefaultMaxNamespaces
	}
	return ledger{limit: limit, accounts: make(map[string]*account), identity: identity}
}

// post enters a snapshot. Its list is in order of attachment, which makes the
// choice of who gets series one of seniority.
func (l *ledger) post(list []engine.NamespaceStats, now time.Time) page {
	l.posted++
	listed := l.enter(list, now)
	l.forget()
	p := page{rows: make([]row, 0, len(listed)+1)}
	var others gauges
	for _, acc := range listed {
		p.all.add(&acc.gauges)
		if l.settle(acc); acc.own {
			p.rows = append(p.rows, acc.row())
		} else {
			p.folded++
			others.add(&acc.gauges)
		}
	}
	// Once there, it stays: a counter that comes and goes loses increases.
	l.folding = l.folding || p.folded > 0
	if l.folding {
		p.rows = append(p.rows, row{name: otherName, counters: l.other, gauges: others})
	}
	return p
}

// enter brings the accounts up to date and returns those that are listed.
func (l *ledger) enter(list []engine.NamespaceStats, now time.Time) []*account {
	listed := make([]*account, 0, len(list))
	for i := range list {
		ns := &list[i]
		id := l.identity(ns)
		acc := l.accounts[id]
		if acc == nil {
			acc = &account{name: id, id: id, created: ns.Attached}
			l.accounts[id] = acc
		}
		if acc.listed != l.posted {
			acc.listed, acc.grown, acc.gauges = l.posted, counters{}, gauges{}
			listed = append(listed, acc)
		}
		acc.enter(ns, l.posted, now)
	}
	return listed
}

// enter adds one attachment. The last one named names the account, by its
// oldest name; one that has no name goes by its id.
func (a *account) enter(ns *engine.NamespaceStats, snapshot uint64, now time.Time) {
	att := a.attachment(ns.Attached)
	att.listed = snapshot
	seen := countersOf(ns)
	grown := seen.since(&att.last)
	att.last = seen
	a.grown.add(&grown)
	g := gaugesOf(ns, now)
	a.gauges.add(&g)
	if len(ns.Names) > 0 {
		a.name = label(ns.Names[0])
	}
}

func (a *account) attachment(at time.Time) *attachment {
	for i := range a.attachments {
		if a.attachments[i].at.Equal(at) {
			return &a.attachments[i]
		}
	}
	a.attachments = append(a.attachments, attachment{at: at})
	return &a.attachments[len(a.attachments)-1]
}

// forget closes the accounts and ends the attachments that are not listed any
// more.
func (l *ledger) forget() {
	for id, acc := range l.accounts {
		acc.attachments = slices.DeleteFunc(acc.attachments, func(att attachment) bool { return att.listed != l.posted })
		if len(acc.attachments) > 0 {
			continue
		}
		if acc.own {
			l.own--
		}
		delete(l.accounts, id)
	}
}

// settle adds what a namespace has counted since the last snapshot, and gives
// it series of its own if there is room.
func (l *ledger) settle(acc *account) {
	acc.counters.add(&acc.grown)
	if !acc.own && (l.limit < 0 || l.own < l.limit) {
		acc.own = true
		l.own++
	}
	// What it counted up to its promotion has no other series to be in that
	// a rate would see: the first sample of its own is only a start.
	if acc.folded || !acc.own {
		l.other.add(&acc.grown)
	}
	acc.folded = !acc.own
}

func (a *account) row() row {
	return row{name: a.name, id: a.id, created: a.created, counters: a.counters, gauges: a.gauges}
}
