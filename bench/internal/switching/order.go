package switching

import "math/rand/v2"

// An Order is how a thread goes round the namespaces.
type Order string

// The two orders.
const (
	Sequential Order = "sequential" // one after the other, and from the last to the first
	Random     Order = "random"     // any but the one that the thread is in
)

var orders = []Order{Sequential, Random}

// A walk is an endless way through namespaces 0 to n-1. With more than one, no step
// stays where it is.
type walk struct {
	order  Order
	n, at  int
	random *rand.Rand
}

func newWalk(order Order, n int, seed uint64) *walk {
	w := &walk{order: order, n: n, random: rand.New(rand.NewPCG(seed, uint64(n)))}
	w.at = w.random.IntN(n)
	return w
}

// fill writes the next steps.
func (w *walk) fill(steps []int) {
	for i := range steps {
		stride := 1
		if w.order == Random && w.n > 1 {
			stride = 1 + w.random.IntN(w.n-1)
		}
		w.at = (w.at + stride) % w.n
		steps[i] = w.at
	}
}
