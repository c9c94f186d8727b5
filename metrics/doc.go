// Package metrics shows an engine to its operator: a [Collector] for a
// Prometheus registry, and an [Admin] endpoint with the metrics, health,
// readiness, profiles and a listing of namespaces and loops.
//
// Both only read snapshots, engine.Stats, and only when somebody asks. They
// cost the event loops nothing in between.
//
// # Metrics
//
// All names begin with "nsreactor_". Those of "nsreactor_loop_" have the label
// loop, those of "nsreactor_namespace_" the labels netns, a name, and
// netns_id, the kernel's identity of the namespace; two namespaces that had
// one name after each other are told apart by it. The other names are about
// the whole engine.
//
// A namespace that is attached again while its earlier attachment still drains
// has one set of series for both.
//
// A namespace's series end when the engine has released it, and the series of
// at most [Options.MaxNamespaces] namespaces are kept apart: see there.
//
// nsreactor_namespace_errors_total has only the kinds that have occurred in
// that namespace, since most never do; nsreactor_errors_total has them all,
// and is what an alert should watch.
//
// # Totals
//
// A namespace's series go when it is released, so a sum over
// nsreactor_namespace_… series falls then. The engine-wide totals, such as
// nsreactor_received_bytes_total, do not, and are exact. The counters of
// "_other" never fall either, but are a lower bound: the Collector adds up by
// how much the folded namespaces' counters have grown between two scrapes, and
// what one counts after the last scrape before its release is in none. They
// begin with the Collector, and one Collector should serve all who scrape.
//
// # JSON
//
// The fields of the Admin's pages may become more, but none is renamed or
// dropped. Times are RFC 3339, durations seconds, lists never null, and an
// error is {"error": "…"} with a status of 400 or above.
//
// /namespaces has started, draining, stopped, identity_grade, released,
// abandoned, attach_errors, all as in engine.Stats, and namespaces, a list in
// order of attachment of those that pass ?name=GLOB, by any of its names and
// with the syntax of path.Match, and ?state=STATE. Each may be given several
// times, and then means any of them. A namespace has
//
//	id, grade               its identity, and what that rests on
//	names                   the oldest first
//	state, since, attached  "attaching", "serving" or "draining", and since when
//	connections             open now
//	accepted, dialed, rejected  connections so far
//	bytes_in, bytes_out
//	packets                 in, out, dropped, missed, truncated (see engine.PacketStats)
//	errors                  an object with a number for each kind: "accept_limit" …
//	listeners               each with network, port, path, sockets, and error, "" if it serves
//	holds                   ours, handle, listeners, packet_sockets, connections, work, lookups, parked_loops (see engine.Holds)
//
// /loops has loops, a list of which each has
//
//	loop, cpu, tid           cpu is -1 if the loop isn't pinned
//	namespace, busy_seconds  where the thread was last, "" being home; how long this turn has gone on
//	turns, events, stale_events, waits, tasks, timers, panics, stalls, strays
//	switches, switches_avoided, switch_errors, switch_seconds
//	connections, listeners, packet_sockets, mailbox
//	turn_seconds, batch_events   distributions, each with bounds, counts and sum (see engine.Histogram)
//
// /healthz has status, "ok" or "stalled", and stalled, a list of which each
// has loop, busy_seconds and namespace. /readyz has ready, reason ("ready",
// "starting", "not_ready", "draining" or "stopped"), and a detail if the
// program gave one.
package metrics
