package session

import (
	"math/rand/v2"
	"testing"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// A window is held against a model that counts without wrapping.
func TestWindow(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		const size = 8
		base := int64(1)<<32 - 20 // the numbers wrap on the way
		next, last := base, base+size-1
		w := newWindow(pdu.Serial(uint32(next)), size)
		for range 200 {
			sn := next + r.Int64N(3*size) - size
			want := outside
			switch {
			case sn == next && next <= last:
				want = due
			case sn > next && sn <= last:
				want = early
			}
			if got := w.place(pdu.Serial(uint32(sn))); got != want {
				t.Fatalf("seed %d: %d is %d in [%d,%d], not %d", seed, sn, got, next, last, want)
			}
			if want == due {
				w.take()
				next++
			}
			if n := r.Int64N(size + 1); r.IntN(2) == 0 {
				w.open(int(n))
				last = max(last, next+n-1)
			}
			if got := w.room(); int64(got) != last-next+1 {
				t.Fatalf("seed %d: room for %d, not %d", seed, got, last-next+1)
			}
		}
	}
}
