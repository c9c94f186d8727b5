package session

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever is taken, given back and withdrawn: no more is lent than there is, but to one
// that has it alone, and those who wait are served in their order.
func TestBudget(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		var b budget
		b.resize(100)
		var lent []int
		var line []*grant
		for range 300 {
			switch r.IntN(3) {
			case 0:
				g := &grant{n: 1 + r.IntN(150)}
				g.ready = func() {
					if len(line) == 0 || line[0] != g {
						t.Fatalf("seed %d: served out of turn", seed)
					}
					line = line[1:]
					lent = append(lent, g.n)
				}
				if b.take(g) {
					if len(line) > 0 {
						t.Fatalf("seed %d: passed the line", seed)
					}
					lent = append(lent, g.n)
				} else {
					line = append(line, g)
				}
			case 1:
				if len(lent) > 0 {
					i := r.IntN(len(lent))
					n := lent[i]
					lent = slices.Delete(lent, i, i+1)
					b.give(n, 1)
				}
			case 2:
				if len(line) > 0 {
					i := r.IntN(len(line))
					g := line[i]
					line = slices.Delete(line, i, i+1)
					if !b.withdraw(g) || b.withdraw(g) {
						t.Fatalf("seed %d: not in line, or twice", seed)
					}
				}
			}
			sum := 0
			for _, n := range lent {
				sum += n
			}
			if b.inUse() != sum || sum > 100 && len(lent) > 1 {
				t.Fatalf("seed %d: %d lent as %d pieces, %d accounted for", seed, sum, len(lent), b.inUse())
			}
			if len(lent) == 0 && len(line) > 0 {
				t.Fatalf("seed %d: all is there, and somebody waits", seed)
			}
			if b.tight.Load() != (len(line) > 0 || sum > 100) {
				t.Fatalf("seed %d: tight is %v", seed, b.tight.Load())
			}
		}
	}
}
