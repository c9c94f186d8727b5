// Package trial measures servers side by side.
//
// A [Host] has namespaces and built programs. On it, servers enter a contest: each gets
// a load generator of its own that is connected and silent. Then short windows of load
// go round and round between them, so that whatever the machine does, it does to all of
// them, and figures are compared within a round only.
package trial
