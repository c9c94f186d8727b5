package pdu

// Serial is a number of a sequence that wraps: CmdSN, StatSN, and what refers to
// them (RFC 7143, section 4.2.2.1; RFC 1982 with SERIAL_BITS 32).
type Serial uint32

// Before says that s comes before t. Of two numbers that are 2³¹ apart, which
// RFC 1982 leaves open, neither comes before the other.
func (s Serial) Before(t Serial) bool {
	d := t - s
	return d != 0 && d < 1<<31
}

// Within says that s is in the window from first to last, both included. A
// window with last = first-1 is closed: nothing is within it.
func (s Serial) Within(first, last Serial) bool {
	return s-first <= last-first && last+1 != first
}

// Sub is how far s is ahead of t; it is negative if s comes before t.
func (s Serial) Sub(t Serial) int { return int(int32(s - t)) }
