package engine

import "time"

// watchStalls looks at the loops now and then, and says which one a handler
// holds up. It gives up on work that does not end.
func (e *Engine) watchStalls() {
	ticker := time.NewTicker(e.cfg.StallAfter)
	defer ticker.Stop()
	told := make([]int64, len(e.loops)) // the turn that was last told of
	for {
		select {
		case <-e.background.Done():
			return
		case <-ticker.C:
		}
		e.pool.giveUp()
		for i, l := range e.loops {
			began := l.turnAt.Load()
			busy := l.busy()
			if busy < e.cfg.StallAfter || told[i] == began {
				continue
			}
			told[i] = began
			l.stats.stalls.inc()
			attrs := []any{"loop", i, "for", busy.Round(time.Millisecond)}
			if ep := l.serving.Load(); ep != nil {
				attrs = append(attrs, "netns", ep.cell.ns.Name(), "port", ep.svc.port)
			}
			e.log.Warn("loop is held up by a handler", attrs...)
		}
	}
}

// busy is for how long the loop's present turn has gone on; 0 while it waits.
func (l *loop) busy() time.Duration {
	began := l.turnAt.Load()
	if began == 0 {
		return 0
	}
	return time.Duration(l.eng.clock() - began)
}

// snapshot is the loop's part of the statistics.
func (l *loop) snapshot() LoopStats {
	s := &l.stats
	out := LoopStats{
		Index: l.index, CPU: l.cpu, TID: int(l.tid.Load()),
		Turns: s.turns.load(), Events: s.events.load(), StaleEvents: s.stale.load(), Waits: s.waits.load(),
		Tasks: s.tasks.load(), Timers: s.timers.load(), Panics: s.panics.load(), Stalls: s.stalls.load(), Strays: s.strays.load(),
		Switches: s.switches.load(), SwitchesAvoided: s.avoided.load(), SwitchErrors: s.switchErrors.load(),
		SwitchTime: time.Duration(s.switchNanos.load()),
		Conns:      int(s.conns.load()), Listeners: int(s.listeners.load()), PacketConns: int(s.packetConns.load()), Mailbox: int(l.mail.length.Load()),
		Busy:        l.busy(),
		TurnSeconds: s.turnSeconds.snapshot(), BatchEvents: s.batchEvents.snapshot(),
	}
	if at := l.parked.Load(); at != nil {
		out.Namespace = at.Name()
	}
	return out
}
