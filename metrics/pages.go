package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// namespacesPage is /namespaces. Its fields, and those of the types in it, are
// a contract: they may become more, but none is renamed or dropped.
type namespacesPage struct {
	Started       time.Time       `json:"started"`
	Draining      bool            `json:"draining"`
	Stopped       bool            `json:"stopped"`
	IdentityGrade string          `json:"identity_grade"`
	Released      uint64          `json:"released"`
	Abandoned     uint64          `json:"abandoned"`
	AttachErrors  uint64          `json:"attach_errors"`
	Namespaces    []namespaceView `json:"namespaces"` // those that the filters let through, in order of attachment
}

type namespaceView struct {
	ID          string            `json:"id"`
	Grade       string            `json:"grade"` // what the id rests on
	Names       []string          `json:"names"` // the oldest first
	State       string            `json:"state"` // "attaching", "serving" or "draining"
	Since       time.Time         `json:"since"` // when it entered the state
	Attached    time.Time         `json:"attached"`
	Connections int               `json:"connections"`
	Accepted    uint64            `json:"accepted"`
	Dialed      uint64            `json:"dialed"`
	Rejected    uint64            `json:"rejected"`
	BytesIn     uint64            `json:"bytes_in"`
	BytesOut    uint64            `json:"bytes_out"`
	Packets     packetsView       `json:"packets"`
	Errors      map[string]uint64 `json:"errors"` // by engine.ErrorKind, all of them
	Listeners   []listenerView    `json:"listeners"`
	Holds       holdsView         `json:"holds"`
}

type packetsView struct {
	In        uint64 `json:"in"`
	Out       uint64 `json:"out"`
	Dropped   uint64 `json:"dropped"`
	Missed    uint64 `json:"missed"`
	Truncated uint64 `json:"truncated"`
}

type listenerView struct {
	Network string `json:"network"`
	Port    int    `json:"port"`
	Path    string `json:"path"` // of a unix socket
	Sockets int    `json:"sockets"`
	Error   string `json:"error"` // "" if the port is served
}

type holdsView struct {
	Ours        bool  `json:"ours"` // whether this process holds the namespace at all
	Handle      bool  `json:"handle"`
	Listeners   int   `json:"listeners"`
	Packets     int   `json:"packet_sockets"`
	Connections int   `json:"connections"`
	Work        int   `json:"work"`
	Lookups     int   `json:"lookups"`
	ParkedLoops []int `json:"parked_loops"`
}

// loopsPage is /loops, with the same promise as namespacesPage.
type loopsPage struct {
	Loops []loopView `json:"loops"`
}

type loopView struct {
	Loop            int           `json:"loop"`
	CPU             int           `json:"cpu"` // -1 if the loop isn't pinned
	TID             int           `json:"tid"`
	Namespace       string        `json:"namespace"` // where the thread was last; "" is home
	BusySeconds     float64       `json:"busy_seconds"`
	Turns           uint64        `json:"turns"`
	Events          uint64        `json:"events"`
	StaleEvents     uint64        `json:"stale_events"`
	Waits           uint64        `json:"waits"`
	Tasks           uint64        `json:"tasks"`
	Timers          uint64        `json:"timers"`
	Panics          uint64        `json:"panics"`
	Stalls          uint64        `json:"stalls"`
	Strays          uint64        `json:"strays"`
	Switches        uint64        `json:"switches"`
	SwitchesAvoided uint64        `json:"switches_avoided"`
	SwitchErrors    uint64        `json:"switch_errors"`
	SwitchSeconds   float64       `json:"switch_seconds"`
	Connections     int           `json:"connections"`
	Listeners       int           `json:"listeners"`
	PacketSockets   int           `json:"packet_sockets"`
	Mailbox         int           `json:"mailbox"`
	TurnSeconds     histogramView `json:"turn_seconds"`
	BatchEvents     histogramView `json:"batch_events"`
}

// histogramView has one count more than bounds, as engine.Histogram has.
type histogramView struct {
	Bounds []float64 `json:"bounds"`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum"`
}

func (a *Admin) namespaces(w http.ResponseWriter, r *http.Request) {
	wanted, err := filterOf(r.URL)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, errorPage{err.Error()})
		return
	}
	stats := a.src.Stats()
	p := namespacesPage{
		Started:       stats.Started,
		Draining:      stats.Draining,
		Stopped:       stats.Stopped,
		IdentityGrade: stats.IdentityGrade.String(),
		Released:      stats.Released,
		Abandoned:     stats.Abandoned,
		AttachErrors:  stats.AttachErrors,
		Namespaces:    []namespaceView{},
	}
	for i := range stats.Namespaces {
		if ns := &stats.Namespaces[i]; wanted.lets(ns) {
			p.Namespaces = append(p.Namespaces, viewNamespace(ns))
		}
	}
	writeJSON(w, http.StatusOK, p)
}

func (a *Admin) loops(w http.ResponseWriter, _ *http.Request) {
	stats := a.src.Stats()
	p := loopsPage{Loops: make([]loopView, len(stats.Loops))}
	for i := range stats.Loops {
		p.Loops[i] = viewLoop(&stats.Loops[i])
	}
	writeJSON(w, http.StatusOK, p)
}

// filter is what ?name= and ?state= ask for, each of which may be given several
// times. Without one, all pass.
type filter struct{ globs, states []string }

func filterOf(u *url.URL) (filter, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return filter{}, fmt.Errorf("query: %w", err)
	}
	f := filter{globs: given(q["name"]), states: given(q["state"])}
	for _, glob := range f.globs {
		if _, err := path.Match(glob, ""); err != nil {
			return filter{}, fmt.Errorf("name %q: %w", glob, err)
		}
	}
	for _, s := range f.states {
		if !slices.ContainsFunc(listedStates[:], func(known engine.State) bool { return known.String() == s }) {
			return filter{}, fmt.Errorf("state %q is none of %v", s, listedStates)
		}
	}
	return f, nil
}

// given leaves out what a form sends for a field that was left empty.
func given(values []string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// lets reports whether one of the namespace's names fits one of the globs, and
// its state is one of those asked for.
func (f filter) lets(ns *engine.NamespaceStats) bool {
	if len(f.states) > 0 && !slices.Contains(f.states, ns.State.String()) {
		return false
	}
	return len(f.globs) == 0 || slices.ContainsFunc(ns.Names, f.fits)
}

func (f filter) fits(name string) bool {
	return slices.ContainsFunc(f.globs, func(glob string) bool {
		fits, _ := path.Match(glob, name) // the glob has been checked
		return fits
	})
}

func viewNamespace(ns *engine.NamespaceStats) namespaceView {
	v := namespaceView{
		ID:          ns.ID.String(),
		Grade:       ns.ID.Grade().String(),
		Names:       nonNil(ns.Names),
		State:       ns.State.String(),
		Since:       ns.Since,
		Attached:    ns.Attached,
		Connections: ns.Conns,
		Accepted:    ns.Accepted,
		Dialed:      ns.Dialed,
		Rejected:    ns.Rejected,
		BytesIn:     ns.BytesIn,
		BytesOut:    ns.BytesOut,
		Packets:     packetsView(ns.Packets),
		Errors:      make(map[string]uint64, len(ns.Errors)),
		Listeners:   make([]listenerView, len(ns.Listeners)),
		Holds: holdsView{
			Ours:        ns.Holds.Ours(),
			Handle:      ns.Holds.Handle,
			Listeners:   ns.Holds.Listeners,
			Packets:     ns.Holds.PacketConns,
			Connections: ns.Holds.Conns,
			Work:        ns.Holds.Work,
			Lookups:     ns.Holds.Lookups,
			ParkedLoops: nonNil(ns.Holds.ParkedLoops),
		},
	}
	for kind, n := range ns.Errors {
		v.Errors[engine.ErrorKind(kind).String()] = n
	}
	for i, l := range ns.Listeners {
		v.Listeners[i] = listenerView{Network: l.Network, Port: l.Port, Path: l.Path, Sockets: l.Sockets}
		if l.Err != nil {
			v.Listeners[i].Error = l.Err.Error()
		}
	}
	return v
}

func viewLoop(l *engine.LoopStats) loopView {
	return loopView{
		Loop:            l.Index,
		CPU:             l.CPU,
		TID:             l.TID,
		Namespace:       l.Namespace,
		BusySeconds:     l.Busy.Seconds(),
		Turns:           l.Turns,
		Events:          l.Events,
		StaleEvents:     l.StaleEvents,
		Waits:           l.Waits,
		Tasks:           l.Tasks,
		Timers:          l.Timers,
		Panics:          l.Panics,
		Stalls:          l.Stalls,
		Strays:          l.Strays,
		Switches:        l.Switches,
		SwitchesAvoided: l.SwitchesAvoided,
		SwitchErrors:    l.SwitchErrors,
		SwitchSeconds:   l.SwitchTime.Seconds(),
		Connections:     l.Conns,
		Listeners:       l.Listeners,
		PacketSockets:   l.PacketConns,
		Mailbox:         l.Mailbox,
		TurnSeconds:     viewHistogram(l.TurnSeconds),
		BatchEvents:     viewHistogram(l.BatchEvents),
	}
}

func viewHistogram(h engine.Histogram) histogramView {
	return histogramView{Bounds: nonNil(h.Bounds), Counts: nonNil(h.Counts), Sum: h.Sum}
}

// nonNil is the list, which JSON is to show as [] rather than null if it is nil.
func nonNil[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// errorPage is the body of an error.
type errorPage struct {
	Error string `json:"error"`
}

// writeJSON writes the status only when the whole body is there, so that an
// error is never the second half of a success.
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status = http.StatusInternalServerError
		text, _ = json.Marshal(errorPage{err.Error()}) // of a string, it can't fail
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)+1))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // who has hung up needs no answer
}

const indexPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>nsreactor</title></head><body>
<h1>nsreactor</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
<li><a href="/healthz">/healthz</a>: is any loop stalled</li>
<li><a href="/readyz">/readyz</a>: does the program want traffic</li>
<li><a href="/namespaces">/namespaces</a>: what each namespace does and holds; ?name=GLOB&amp;state=STATE</li>
<li><a href="/loops">/loops</a>: what each event loop does</li>
<li><a href="/debug/pprof/">/debug/pprof/</a>: profiles</li>
</ul>
</body></html>
`

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, indexPage)
}
