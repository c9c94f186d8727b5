package tlshandler

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

// count counts a successful handshake.
func (h *Handler) count(resumed bool) {
	h.done.Add(1)
	if resumed {
		h.resumed.Add(1)
	}
}
