package metrics

import (
	"net/http"

	"github.com/nsreactor/nsreactor/engine"
)

// health is /healthz.
type health struct {
	Status  string        `json:"status"` // "ok" or "stalled"
	Stalled []stalledLoop `json:"stalled"`
}

type stalledLoop struct {
	Loop        int     `json:"loop"`
	BusySeconds float64 `json:"busy_seconds"`
	Namespace   string  `json:"namespace"`
}

// healthz fails if a loop has been busy with one turn for too long. Nothing
// short of a restart helps against that.
func (a *Admin) healthz(w http.ResponseWriter, _ *http.Request) {
	h := health{Status: "ok", Stalled: []stalledLoop{}}
	stats := a.src.Stats()
	for i := range stats.Loops {
		l := &stats.Loops[i]
		if a.stalledAfter > 0 && l.Busy > a.stalledAfter {
			h.Stalled = append(h.Stalled, stalledLoop{l.Index, l.Busy.Seconds(), l.Namespace})
		}
	}
	status := http.StatusOK
	if len(h.Stalled) > 0 {
		h.Status, status = "stalled", http.StatusServiceUnavailable
	}
	writeJSON(w, status, h)
}

// readiness is /readyz.
type readiness struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason"`           // "ready", "starting", "not_ready", "draining" or "stopped"
	Detail string `json:"detail,omitempty"` // the error of AdminOptions.Ready
}

func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	r := a.readiness(a.src.Stats())
	status := http.StatusOK
	if !r.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, r)
}

// readiness puts what can't be undone first: a drain outlasts anything that
// the program says.
func (a *Admin) readiness(stats engine.Stats) readiness {
	switch {
	case stats.Stopped:
		return readiness{Reason: "stopped"}
	case stats.Draining:
		return readiness{Reason: "draining"}
	case !a.isReady.Load():
		return readiness{Reason: "starting"}
	}
	if a.ready != nil {
		if err := a.ready(); err != nil {
			return readiness{Reason: "not_ready", Detail: err.Error()}
		}
	}
	return readiness{Ready: true, Reason: "ready"}
}
