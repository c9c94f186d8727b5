//go:build race

package memory

import "sync/atomic"

// Counts says that this build counts.
const Counts = true

var out atomic.Int64

func lent(n int64) { out.Add(n) }

// Out is how many slices are lent.
func Out() int64 { return out.Load() }
