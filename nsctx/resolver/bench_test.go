package resolver_test

import (
	"testing"

	"github.com/nsreactor/nsreactor/nsctx/resolver"
)

// BenchmarkLookup is a lookup in a tenant whose server is on its loopback, both
// families: with an answer that is known, with one that is asked for, and of a name in
// the hosts file.
func BenchmarkLookup(b *testing.B) {
	for name, c := range map[string]struct {
		size int
		host string
	}{"known": {0, "db.example"}, "asked": {-1, "db.example"}, "hosts": {0, "printer"}} {
		b.Run(name, func(b *testing.B) {
			h := build(b, resolver.Config{CacheSize: c.size})
			h.write("a", "hosts", "10.0.0.1 printer")
			serve(b, h.tenant.NS, "127.0.0.1", zone("db.example. 60 A 10.1.0.1", "db.example. 60 AAAA fd00::1"))
			for b.Loop() {
				if _, err := h.lookup(c.host); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
