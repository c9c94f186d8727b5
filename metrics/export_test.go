package metrics

import (
	"time"

	"github.com/nsreactor/nsreactor/engine"
)

// Label is label, for the fuzzer.
var Label = label

// SetNow gives the Collector a clock.
func (c *Collector) SetNow(now func() time.Time) { c.now = now }

// SetIdentity makes the Collector tell namespaces apart by something that a
// test can make: only the kernel makes IDs.
func (c *Collector) SetIdentity(of func(*engine.NamespaceStats) string) { c.ledger.identity = of }
