// Package engine is the reactor: a few event loops that serve the sockets of
// many network namespaces.
//
// An [Engine] has one loop a CPU. A loop is a goroutine locked to an OS thread
// for life, and it owns what it serves: a poller, a table of connections,
// timers, buffers, none of them locked. Handlers are registered for a port
// with [Engine.Handle]; each namespace that is attached ([Engine.Attach],
// [Engine.Watch]) gets a listener for every such port. When an event's
// namespace is not the one that the loop's thread is in, and the handler has
// not said that it doesn't care ([AnyNamespace]), the thread switches before
// the handler runs, and only then.
//
// A handler's callbacks run on the loop of their connection, one at a time.
// They must not block: they would hold up every connection of the loop.
package engine
