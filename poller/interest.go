package poller

// Interest is what a registration wants to hear of. The zero Interest hears
// of hang-ups and errors only, which the kernel never lets anyone mask; a
// registration that can't act on those must be removed, or Wait will spin.
type Interest uint8

// The interests. There is none in "the peer has shut down its half": that is
// readable, and a reader finds it out by reading to the end, which is the
// only way not to lose what came before it.
const (
	Readable Interest = 1 << iota
	Writable
)

// String names the interests, as in "readable|writable".
func (i Interest) String() string {
	switch i & (Readable | Writable) {
	case Readable:
		return "readable"
	case Writable:
		return "writable"
	case Readable | Writable:
		return "readable|writable"
	}
	return "none"
}
