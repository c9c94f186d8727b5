// Package memory lends slices out of gnet's pool, and in builds with the race
// detector counts those that are out, so that tests find the ones that nobody gives
// back.
package memory

import "github.com/panjf2000/gnet/v2/pkg/pool/byteslice"

// Get is a slice of n bytes, with anything in it.
func Get(n int) []byte {
	lent(1)
	return byteslice.Get(n)
}

// Put takes a slice of Get back, as long as it was made or longer.
func Put(b []byte) {
	lent(-1)
	byteslice.Put(b)
}
