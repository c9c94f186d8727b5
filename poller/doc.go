// Package poller waits for readiness of file descriptors. It wraps epoll(7)
// and eventfd(2) and knows descriptors and nothing else: no connections, no
// namespaces, no timers.
//
// Three words carry it. An [Interest] is what the caller wants to hear of, a
// [Readiness] is what the kernel says, and a [Token] is what ties the two
// together: the caller's own name for a registration, handed back with every
// event. A token has a slot and a generation, so that an event which was
// already on its way when its descriptor was closed can be told from an event
// of the descriptor that took the slot afterwards.
//
// Registrations are level-triggered: readiness that is not used up is said
// again by the next Wait. Readiness may be spurious; a caller must be ready
// for EAGAIN.
package poller
