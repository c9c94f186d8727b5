//go:build !race

package engine

import "testing"

// The race detector has sync.Pool forget things at random, so that these
// numbers hold without it only.
func TestPooledBuffersAllocateNothing(t *testing.T) {
	scratch, bytes := make([]byte, 4096), make([]byte, 512)
	var b buffer
	if n := testing.AllocsPerRun(1000, func() {
		b.lend(scratch)
		b.append(bytes)
		b.own() // a slice of its own
		b.append(bytes)
		b.append(bytes) // a larger one
		b.lend(scratch)
		b.discard(b.len())
		b.own()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
