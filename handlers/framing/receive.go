package framing

import (
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/internal/memory"
)

// state is what a Framer keeps of a connection that needs it: one of whose next
// message a part has arrived, or that has a decoder of its own.
type state[T any] struct {
	decoder *cutter[T]
	seen    int  // how much of the next message the decoder has searched in vain
	eof     bool // the peer has sent its last, but not all of it is delivered

	// A message that is being received into memory of its own.
	of     *cutter[T] // whose it is
	head   []byte     // what goes before the body; empty if that is the whole message
	body   []byte     // what ReadInto fills; nil if nothing is being received
	pooled bool       // body is the pool's and the whole message
}

func (s *state[T]) receiving() bool { return s != nil && s.body != nil }

// free gives up what is being received.
func (s *state[T]) free() {
	if s.pooled {
		memory.Put(s.body)
	} else {
		s.of.placer.free(s.body)
	}
	s.body = nil
}

func (f *Framer[T]) state(c *engine.Conn) *state[T] {
	s, _ := c.Value(f).(*state[T])
	return s
}

func (f *Framer[T]) needState(c *engine.Conn) *state[T] {
	s := f.state(c)
	if s == nil {
		s = &state[T]{decoder: &f.decoder}
		c.SetValue(f, s)
	}
	return s
}

// resume is what finds the next message, and from where on it has to search.
func (f *Framer[T]) resume(c *engine.Conn) (d *cutter[T], seen int) {
	s := f.state(c)
	if s == nil {
		return &f.decoder, 0
	}
	seen, s.seen = s.seen, 0
	return s.decoder, seen
}

// direct is how many bytes must be missing for a message to be received into
// memory of its own, and not behind what there is of it. Fewer come with the
// next read, and are then in place together with what follows them.
const direct = 8 << 10

// firstRoom is how much memory of the pool a message gets at first, in bytes. Where
// it is longer, the memory doubles as the message comes in, so that announcing
// is not enough to have memory set aside.
const firstRoom = 64 << 10

// await has the rest of a message received: b is what there is of it, n the
// least that it takes.
func (f *Framer[T]) await(c *engine.Conn, d *cutter[T], b []byte, n int) {
	head, body, err := d.place(b)
	switch {
	case err != nil:
		c.Fail(err)
	case body != nil:
		s := f.needState(c)
		c.Discard(head)
		s.receive(d, b[:head], body)
		c.ReadInto(body, f.filled)
	case n-len(b) >= direct || c.InputFull():
		s := f.needState(c)
		s.seen = len(b)
		s.of, s.body, s.pooled = d, memory.Get(min(n, max(firstRoom, 2*len(b)))), true
		c.ReadInto(s.body, f.filled)
	case d.resumer != nil:
		f.needState(c).seen = len(b)
	}
}

// receive notes that a message is received in two parts. The head is copied:
// what it lies in is used again by then.
func (s *state[T]) receive(d *cutter[T], head, body []byte) {
	s.head = append(s.head[:0], head...)
	s.of, s.body, s.pooled = d, body, false
}

// onFilled is called when what was to be received is there.
func (f *Framer[T]) onFilled(c *engine.Conn) {
	s := f.state(c)
	if s.pooled {
		f.deliverWhole(c, s)
		return
	}
	body := s.body
	s.body = nil // it is the message's
	m, err := s.of.placer.join(s.head, body)
	if err == nil {
		err = f.OnMessage(c, m)
	}
	if err != nil {
		c.Fail(err)
	}
}

// deliverWhole delivers a message that the pool's memory holds all of, or goes
// on receiving if its end is still not known: its header is as long as that.
func (f *Framer[T]) deliverWhole(c *engine.Conn, s *state[T]) {
	seen := s.seen
	s.seen = 0
	m, n, err := s.of.cut(s.body, seen)
	switch {
	case err != nil:
	case n > len(s.body):
		f.awaitMore(c, s, n)
		return
	case n < len(s.body):
		err = badDecoder("asked for %d bytes and found a message of %d", len(s.body), n)
	default:
		err = f.OnMessage(c, m)
	}
	if err != nil {
		c.Fail(err)
	}
	s.free()
}

// awaitMore is await for a message that is in the pool's memory already.
func (f *Framer[T]) awaitMore(c *engine.Conn, s *state[T], n int) {
	had := s.body
	head, body, err := s.of.place(had)
	switch {
	case err != nil:
		c.Fail(err)
		return
	case body != nil:
		filled := copy(body, had[head:])
		s.receive(s.of, had[:head], body)
		c.ReadInto(body[filled:], f.filled)
		memory.Put(had)
	case cap(had) > len(had):
		s.seen, s.body = len(had), had[:min(n, cap(had))]
		c.ReadInto(s.body[len(had):], f.filled)
	default:
		s.seen, s.body = len(had), memory.Get(min(n, 2*len(had)))
		c.ReadInto(s.body[copy(s.body, had):], f.filled)
		memory.Put(had)
	}
}
