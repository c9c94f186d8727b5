package engine

import "github.com/nsreactor/nsreactor/poller"

// table turns tokens into what they stand for. A slot is used again, with its
// generation raised, so that a token of an earlier use finds nothing. Slot 0
// is the poller's waker.
type table struct {
	slots []slot
	free  []uint32
}

type slot struct {
	generation uint32
	conn       *Conn
	other      *source
}

// source is what has events and is no connection: a listener, a packet socket,
// an attempt to connect. It is part of those.
type source struct {
	ep    *endpoint // where it belongs
	serve func(*loop, poller.Readiness)
}

func newTable() table { return table{slots: make([]slot, 1, 64)} }

// put finds a slot for a connection or for another source of events.
func (t *table) put(c *Conn, other *source) poller.Token {
	var i uint32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	s := &t.slots[i]
	s.conn, s.other = c, other
	return poller.NewToken(i, s.generation)
}

// get is what a token stands for; nothing, if it is of an earlier generation.
func (t *table) get(tok poller.Token) (*Conn, *source) {
	i := tok.Slot()
	if int(i) >= len(t.slots) || t.slots[i].generation != tok.Generation() {
		return nil, nil
	}
	return t.slots[i].conn, t.slots[i].other
}

// drop frees a token's slot. A stale token drops nothing.
func (t *table) drop(tok poller.Token) {
	i := tok.Slot()
	if c, other := t.get(tok); c == nil && other == nil {
		return
	}
	t.slots[i] = slot{generation: t.slots[i].generation + 1}
	t.free = append(t.free, i)
}
