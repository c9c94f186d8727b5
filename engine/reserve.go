package engine

import "github.com/nsreactor/nsreactor/internal/memory"

// Reserve returns memory for n bytes behind what was written before: a handler
// reads a file, or puts a message together, where it is sent from. Commit then
// queues as many of them as there are. The memory is valid until the callback
// returns or another method of the connection that writes is called; what is in it
// at first is anything. The errors are those of Write.
func (c *Conn) Reserve(n int) ([]byte, error) {
	if err := c.reservable(n); err != nil {
		return nil, err
	}
	if c.filtered() {
		return c.reserveAside(n), nil
	}
	c.holdBuffers()
	c.loop.markDirty(c) // what is not committed is given back
	return c.buf.out.room(n)[:n:n], nil
}

// Commit is Write for the first n bytes of what Reserve returned, which must have
// been the last call on the connection that has to do with writing. n is at most
// what was reserved; 0 is as if there had been no Reserve.
func (c *Conn) Commit(n int) error {
	if err := c.reservable(0); err != nil {
		c.dropReserved()
		return err
	}
	if c.filtered() {
		return c.commitAside(n)
	}
	if n == 0 {
		return nil
	}
	out := &c.buf.out
	out.fill(n)
	if c.special {
		c.tapped(Outbound, out.buf[out.w-n:out.w])
	}
	return nil
}

func (c *Conn) filtered() bool { return c.special && c.extra.filter != nil }

// reservable is nil if a Write of n bytes would be taken.
func (c *Conn) reservable(n int) error {
	if c.closingWrite() {
		return ErrClosed
	}
	if err := c.unwritable(); err != nil {
		return err
	}
	return c.checkOverflow(n)
}

// reserveAside is Reserve with a filter, whose own output lies in the buffer.
func (c *Conn) reserveAside(n int) []byte {
	c.dropReserved()
	c.extra.reserved = memory.Get(n)
	c.loop.markDirty(c)
	return c.extra.reserved
}

func (c *Conn) commitAside(n int) error {
	p := c.extra.reserved
	if n == 0 || p == nil {
		c.dropReserved()
		return nil
	}
	c.extra.reserved = nil
	defer memory.Put(p) // also if a filter panics
	_, err := c.writeSpecial(p[:n])
	return err
}

// dropReserved gives back what was reserved and not committed.
func (c *Conn) dropReserved() {
	if x := c.extra; x != nil && x.reserved != nil {
		memory.Put(x.reserved)
		x.reserved = nil
	}
}
