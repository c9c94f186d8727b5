//go:build race

package engine

// raceEnabled says that the race detector is on: it makes readSocket and
// writeSocket take the standard library's way, which allocates.
const raceEnabled = true
