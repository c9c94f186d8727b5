package serve

// Messages is how a stream divides into messages, and what one costs. The zero value
// takes whatever one read brings for a message that costs nothing.
type Messages struct {
	Size   int // bytes of each, or 0
	micros float64
	rounds int
}

func (m *Messages) valid() bool { return m.Size >= 0 && m.micros >= 0 }

// prepare finds out how many rounds of work make the microseconds that were asked for.
// A server that computes nothing spends no time on that.
func (m *Messages) prepare() {
	if m.micros > 0 {
		m.rounds = max(1, int(m.micros*1000/nanosecondsPerRound()))
	}
}

// Complete is how many of n bytes, which begin with a message, are whole messages.
func (m *Messages) Complete(n int) int {
	if m.Size == 0 {
		return n
	}
	return n - n%m.Size
}

// Compute computes for the messages in n bytes, as Complete returned them. It makes no
// system call: what it costs is CPU time of the thread that it runs on, and nothing
// else, whichever library calls it.
func (m *Messages) Compute(n int) {
	switch {
	case m.rounds == 0 || n == 0:
	case m.Size == 0:
		_ = spin(m.rounds)
	default:
		_ = spin(m.rounds * (n / m.Size))
	}
}

// spin is so many rounds of a xorshift generator: three dependent operations on
// registers, with nothing for caches or other threads to disturb.
//
//go:noinline
func spin(rounds int) uint64 {
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
