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
// A namespace's series end when the engine has released it, and the series of
// at most [Options.MaxNamespaces] namespaces are kept apart: see there.
//
// nsreactor_namespace_errors_total has only the kinds that have occurred in
// that namespace, since most never do; nsreactor_errors_total has them all,
// and is what an alert should watch.
//
// # Totals
//
// The engine forgets what a released namespace has counted, so a sum over
// nsreactor_namespace_… series falls when a namespace goes. The engine-wide
// totals, such as nsreactor_received_bytes_total, and the counters of "_other"
// do not: the Collector adds up by how much each namespace's counters have
// grown between two scrapes. They never go backwards, but they are a lower
// bound: what a namespace counts between the last scrape before its release
// and the release is in no scrape and in no total, nor is a namespace that
// came and went between two. They begin with the Collector, which should
// therefore be made with the engine, and one Collector should serve all who
// scrape.
package metrics
