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
	listener   *listener
}

func newTable() table { return table{slots: make([]slot, 1, 64)} }

// put finds a slot for a connection or a listener.
func (t *table) put(c *Conn, l *listener) poller.Token {
	var i uint32
	if n := len(t.free); n > 0 {
		i, t.free = t.free[n-1], t.free[:n-1]
	} else {
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	}
	s := &t.slots[i]
	s.conn, s.listener = c, l
	return poller.NewToken(i, s.generation)
}

// get is what a token stands for; nothing, if it is of an earlier generation.
func (t *table) get(tok poller.Token) (*Conn, *listener) {
	i := tok.Slot()
	if int(i) >= len(t.slots) || t.slots[i].generation != tok.Generation() {
		return nil, nil
	}
	return t.slots[i].conn, t.slots[i].listener
}

// drop frees a token's slot. A stale token drops nothing.
func (t *table) drop(tok poller.Token) {
	i := tok.Slot()
	if c, l := t.get(tok); c == nil && l == nil {
		return
	}
	t.slots[i] = slot{generation: t.slots[i].generation + 1}
	t.free = append(t.free, i)
}
