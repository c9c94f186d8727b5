package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nsreactor/nsreactor/engine"
)

// family is a metric whose value is a function of a T.
type family[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

func counter[T any](desc *prometheus.Desc, value func(*T) float64) family[T] {
	return family[T]{desc, prometheus.CounterValue, value}
}

func gauge[T any](desc *prometheus.Desc, value func(*T) float64) family[T] {
	return family[T]{desc, prometheus.GaugeValue, value}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nsreactor_"+name, help, labels, nil)
}

func loopDesc(name, help string) *prometheus.Desc {
	return desc("loop_"+name, help, "loop")
}

func namespaceDesc(name, help string, labels ...string) *prometheus.Desc {
	return desc("namespace_"+name, help, append([]string{"netns", "netns_id"}, labels...)...)
}

// Metrics with one value a loop.
var loopFamilies = []family[engine.LoopStats]{
	counter(loopDesc("turns_total", "Iterations of the loop that had something to do."),
		func(l *engine.LoopStats) float64 { return float64(l.Turns) }),
	counter(loopDesc("events_total", "Readiness events handled."),
		func(l *engine.LoopStats) float64 { return float64(l.Events) }),
	counter(loopDesc("stale_events_total", "Events of an already closed registration, dropped."),
		func(l *engine.LoopStats) float64 { return float64(l.StaleEvents) }),
	counter(loopDesc("waits_total", "Calls of epoll_wait(2)."),
		func(l *engine.LoopStats) float64 { return float64(l.Waits) }),
	counter(loopDesc("tasks_total", "Mailbox tasks run."),
		func(l *engine.LoopStats) float64 { return float64(l.Tasks) }),
	counter(loopDesc("timers_total", "Timers fired."),
		func(l *engine.LoopStats) float64 { return float64(l.Timers) }),
	counter(loopDesc("panics_total", "Handler panics recovered."),
		func(l *engine.LoopStats) float64 { return float64(l.Panics) }),
	counter(loopDesc("stalls_total", "Turns that went on for longer than the engine's stall limit."),
		func(l *engine.LoopStats) float64 { return float64(l.Stalls) }),
	counter(loopDesc("strays_total", "Callbacks that left the thread in another namespace."),
		func(l *engine.LoopStats) float64 { return float64(l.Strays) }),
	counter(loopDesc("switches_total", "Namespace switches, calls of setns(2)."),
		func(l *engine.LoopStats) float64 { return float64(l.Switches) }),
	counter(loopDesc("switches_avoided_total", "Times the thread already was in the namespace it had to be in."),
		func(l *engine.LoopStats) float64 { return float64(l.SwitchesAvoided) }),
	counter(loopDesc("switch_errors_total", "Namespace switches that failed."),
		func(l *engine.LoopStats) float64 { return float64(l.SwitchErrors) }),
	counter(loopDesc("switch_seconds_total", "Time spent in setns(2)."),
		func(l *engine.LoopStats) float64 { return l.SwitchTime.Seconds() }),
	gauge(loopDesc("busy_seconds", "For how long the present turn has gone on; 0 while the loop waits."),
		func(l *engine.LoopStats) float64 { return l.Busy.Seconds() }),
	gauge(loopDesc("connections", "Connections open."),
		func(l *engine.LoopStats) float64 { return float64(l.Conns) }),
	gauge(loopDesc("listeners", "Listening sockets registered."),
		func(l *engine.LoopStats) float64 { return float64(l.Listeners) }),
	gauge(loopDesc("packet_sockets", "Packet sockets registered."),
		func(l *engine.LoopStats) float64 { return float64(l.PacketConns) }),
	gauge(loopDesc("mailbox_tasks", "Tasks waiting in the mailbox."),
		func(l *engine.LoopStats) float64 { return float64(l.Mailbox) }),
}

// The distributions of a loop.
var (
	descLoopTurn = loopDesc("turn_duration_seconds",
		"How long a turn takes, which is what the last event of its batch waits: the loop's lag.")
	descLoopBatch = loopDesc("batch_events", "Readiness events handled in one turn.")
)

// Metrics with one value a namespace.
var namespaceFamilies = []family[row]{
	gauge(namespaceDesc("connections", "Connections open."),
		func(r *row) float64 { return float64(r.gauges.conns) }),
	counter(namespaceDesc("connections_accepted_total", "Connections accepted."),
		func(r *row) float64 { return float64(r.counters.accepted) }),
	counter(namespaceDesc("connections_dialed_total", "Connections made to elsewhere."),
		func(r *row) float64 { return float64(r.counters.dialed) }),
	counter(namespaceDesc("connections_rejected_total", "Connections closed at once because of a limit or a drain."),
		func(r *row) float64 { return float64(r.counters.rejected) }),
	counter(namespaceDesc("received_bytes_total", "Bytes read from connections."),
		func(r *row) float64 { return float64(r.counters.bytesIn) }),
	counter(namespaceDesc("sent_bytes_total", "Bytes written to connections."),
		func(r *row) float64 { return float64(r.counters.bytesOut) }),
	counter(namespaceDesc("received_packets_total", "Datagrams received."),
		func(r *row) float64 { return float64(r.counters.packets.In) }),
	counter(namespaceDesc("sent_packets_total", "Datagrams sent."),
		func(r *row) float64 { return float64(r.counters.packets.Out) }),
	counter(namespaceDesc("dropped_packets_total", "Datagrams not sent: refused by the kernel, or waited for it in vain."),
		func(r *row) float64 { return float64(r.counters.packets.Dropped) }),
	counter(namespaceDesc("missed_packets_total", "Datagrams lost because a socket's receive buffer was full."),
		func(r *row) float64 { return float64(r.counters.packets.Missed) }),
	counter(namespaceDesc("truncated_packets_total", "Datagrams received that were longer than the engine's limit."),
		func(r *row) float64 { return float64(r.counters.packets.Truncated) }),
	gauge(namespaceDesc("listeners", "Ports served."),
		func(r *row) float64 { return float64(r.gauges.listeners) }),
	gauge(namespaceDesc("failed_listeners", "Ports not served because their listener could not be made."),
		func(r *row) float64 { return float64(r.gauges.failed) }),
	gauge(namespaceDesc("draining_seconds", "For how long the namespace has been draining; 0 while it isn't."),
		func(r *row) float64 { return r.gauges.draining.Seconds() }),
}

// What a namespace has several of.
var (
	descNamespaceState = namespaceDesc("state",
		"1 for the state that the namespace is in, else 0; for netns=\"_other\", how many are in it.", "state")
	descNamespaceErrors = namespaceDesc("errors_total",
		"Errors by kind, of the kinds that have occurred in the namespace.", "kind")
)

// summary is what the engine's own metrics are made from.
type summary struct {
	*engine.Stats
	*page
}

// Metrics with one value an engine.
var engineFamilies = []family[summary]{
	gauge(desc("start_time_seconds", "When the engine was made, in seconds since the epoch."),
		func(s *summary) float64 { return seconds(s.Started) }),
	gauge(desc("draining", "1 from the beginning of the engine's shutdown, else 0."),
		func(s *summary) float64 { return oneIf(s.Draining) }),
	gauge(desc("stopped", "1 when no loop runs any more, else 0."),
		func(s *summary) float64 { return oneIf(s.Stopped) }),
	gauge(desc("loops", "Event loops."),
		func(s *summary) float64 { return float64(len(s.Loops)) }),
	gauge(desc("folded_namespaces", `Namespaces that have no series of their own and are summed in netns="_other".`),
		func(s *summary) float64 { return float64(s.folded) }),
	counter(desc("namespaces_released_total", "Namespaces of which the kernel has confirmed that nothing holds them."),
		func(s *summary) float64 { return float64(s.Released) }),
	counter(desc("namespaces_abandoned_total", "Namespaces given up on without the kernel's confirmation that nothing holds them."),
		func(s *summary) float64 { return float64(s.Abandoned) }),
	counter(desc("attach_errors_total", "Failed attempts to attach a namespace that a watch has found."),
		func(s *summary) float64 { return float64(s.AttachErrors) }),
	gauge(desc("connections", "Connections open in all namespaces."),
		func(s *summary) float64 { return float64(s.all.conns) }),
	counter(desc("connections_accepted_total", "Connections accepted in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Accepted) }),
	counter(desc("connections_dialed_total", "Connections made to elsewhere in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Dialed) }),
	counter(desc("connections_rejected_total", "Connections rejected in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Rejected) }),
	counter(desc("received_bytes_total", "Bytes read in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.BytesIn) }),
	gauge(desc("work_running", "Works that run on the pool now."),
		func(s *summary) float64 { return float64(s.Work.Running) }),
	gauge(desc("work_waiting", "Works that wait for a worker."),
		func(s *summary) float64 { return float64(s.Work.Waiting) }),
	gauge(desc("work_stuck", "Works that were given up on and still go on."),
		func(s *summary) float64 { return float64(s.Work.Stuck) }),
	gauge(desc("work_limit", "Works that may run at once."),
		func(s *summary) float64 { return float64(s.Work.Workers) }),
	counter(desc("works_total", "Works that have returned."),
		func(s *summary) float64 { return float64(s.Work.Done) }),
	counter(desc("works_refused_total", "Works not taken because too many of their namespace waited."),
		func(s *summary) float64 { return float64(s.Work.Busy) }),
	counter(desc("works_given_up_total", "Works that were given up on because they did not return."),
		func(s *summary) float64 { return float64(s.Work.GivenUp) }),
	counter(desc("sent_bytes_total", "Bytes written in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.BytesOut) }),
	counter(desc("received_packets_total", "Datagrams received in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Packets.In) }),
	counter(desc("sent_packets_total", "Datagrams sent in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Packets.Out) }),
	counter(desc("dropped_packets_total", "Datagrams not sent: refused by the kernel, or waited for it in vain in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Packets.Dropped) }),
	counter(desc("missed_packets_total", "Datagrams lost because a socket's receive buffer was full in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Packets.Missed) }),
	counter(desc("truncated_packets_total", "Datagrams received that were longer than the engine's limit in all namespaces, released ones included."),
		func(s *summary) float64 { return float64(s.totals.Packets.Truncated) }),
}

// What the engine has several of.
var (
	descWorkWait   = desc("work_wait_seconds", "How long works wait for a worker.")
	descWorkRun    = desc("work_run_seconds", "How long works run.")
	descNamespaces = desc("namespaces", "Attached namespaces by state.", "state")
	descDraining   = desc("draining_namespaces",
		`Namespaces draining by who still holds them: "self" is this process, "others" is anybody else.`, "holder")
	descErrors   = desc("errors_total", "Errors by kind in all namespaces, released ones included.", "kind")
	descIdentity = desc("identity_info", "1 for the grade by which the namespaces attached last are told apart.", "grade")
)

func allDescs() []*prometheus.Desc {
	all := []*prometheus.Desc{
		descLoopTurn, descLoopBatch, descNamespaceState, descNamespaceErrors,
		descNamespaces, descDraining, descErrors, descIdentity, descWorkWait, descWorkRun,
	}
	all = appendDescs(all, loopFamilies)
	all = appendDescs(all, namespaceFamilies)
	return appendDescs(all, engineFamilies)
}

func appendDescs[T any](to []*prometheus.Desc, families []family[T]) []*prometheus.Desc {
	for _, f := range families {
		to = append(to, f.desc)
	}
	return to
}
