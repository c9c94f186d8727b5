package session

import "github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"

// window is a session's command window (RFC 7143, section 4.2.2.1): the requests that
// may come, by CmdSN. It only grows: what MaxCmdSN has promised cannot be taken back, so
// that a session whose tenant is busy is slowed down by not opening it again.
type window struct {
	next pdu.Serial // ExpCmdSN: the request that is delivered next
	last pdu.Serial // MaxCmdSN: the last one that may come
}

// place is where a request is, seen from the window.
type place uint8

const (
	outside place = iota // to be ignored, without a word
	due                  // the next one
	early                // there is a gap before it, which another connection may fill
)

// newWindow is the window of a session whose login had this CmdSN, with room for n requests.
func newWindow(first pdu.Serial, n int) window {
	return window{next: first, last: first + pdu.Serial(n) - 1}
}

// place says what to do with a request that is not immediate.
func (w *window) place(sn pdu.Serial) place {
	switch {
	case !sn.Within(w.next, w.last):
		return outside
	case sn == w.next:
		return due
	}
	return early
}

// placeImmediate says what to do with an immediate request that has its turn after those
// before its number, which is at most one that may not come yet.
func (w *window) placeImmediate(sn pdu.Serial) place {
	switch {
	case !w.next.Before(sn):
		return due
	case w.last.Before(sn - 1):
		return outside
	}
	return early
}

// take moves the window on: the request that was due is delivered.
func (w *window) take() { w.next++ }

// open lets n requests come that have not come yet, if so many are not let already.
func (w *window) open(n int) {
	if last := w.next + pdu.Serial(n) - 1; w.last.Before(last) {
		w.last = last
	}
}

// room is how many requests may come.
func (w *window) room() int { return w.last.Sub(w.next) + 1 }
