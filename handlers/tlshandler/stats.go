package tlshandler

import "github.com/nsreactor/nsreactor/handlers/tally"

// Stats is a snapshot of what a Handler has done.
type Stats struct {
	Handshakes uint64          // that were successful
	Resumed    uint64          // of those, the ones that resumed a session
	Failed     [reasons]uint64 // by Reason
	InProgress int             // handshakes under way now
	Waiting    int             // and those that wait for one of these to end
}

// Stats may be called by any goroutine.
func (h *Handler) Stats() Stats {
	s := Stats{Handshakes: h.done.Load(), Resumed: h.resumed.Load()}
	for i := range h.failed {
		s.Failed[i] = h.failed[i].Load()
	}
	s.InProgress, s.Waiting = h.gate.count()
	return s
}

// Counters are the Stats, for metrics.
func (h *Handler) Counters() []tally.Sample {
	s := h.Stats()
	samples := []tally.Sample{
		tally.Count("tls_handshakes_total", "Successful TLS handshakes.", s.Handshakes),
		tally.Count("tls_resumed_handshakes_total", "Of them, those that resumed a session.", s.Resumed),
		tally.Gauge("tls_handshakes", "TLS handshakes under way.", float64(s.InProgress)),
		tally.Gauge("tls_handshakes_waiting", "TLS handshakes that wait for one of these to end.", float64(s.Waiting)),
	}
	for reason, n := range s.Failed {
		samples = append(samples,
			tally.Count("tls_failed_handshakes_total", "TLS handshakes that failed, by reason.", n).By("reason", Reason(reason).String()))
	}
	return samples
}

// count counts a successful handshake.
func (h *Handler) count(resumed bool) {
	h.done.Add(1)
	if resumed {
		h.resumed.Add(1)
	}
}
