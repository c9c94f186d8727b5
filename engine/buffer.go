package engine

import "github.com/nsreactor/nsreactor/internal/memory"

// buffer holds bytes between a reader and a writer, always in one piece. Its
// memory is either a pooled slice of its own or one that its loop has lent it
// for the length of a callback, so that an idle connection holds none.
type buffer struct {
	buf  []byte
	r, w int  // what is held is buf[r:w]
	lent bool // buf is the loop's
}

// minOwn is the smallest slice worth pooling, in bytes.
const minOwn = 64

// keepOwn is the size from which a slice is given up for a much smaller one, in
// bytes: an idle connection must not sit on a megabyte for a single one.
const keepOwn = 4 << 10

func (b *buffer) len() int { return b.w - b.r }

// bytes is all that is held; valid until the next room, append or own.
func (b *buffer) bytes() []byte { return b.buf[b.r:b.w] }

// lend gives the buffer the loop's memory to use until own. What it holds is
// moved there, and must fit.
func (b *buffer) lend(scratch []byte) {
	held := copy(scratch, b.bytes())
	b.giveBack()
	b.buf, b.r, b.w, b.lent = scratch, 0, held, true
}

// room is space for at least n bytes behind what is held; fill says how many
// of it were used.
func (b *buffer) room(n int) []byte {
	if len(b.buf)-b.w < n {
		b.makeRoom(n)
	}
	return b.buf[b.w:]
}

func (b *buffer) makeRoom(n int) {
	held := b.len()
	if !b.lent && held+n <= len(b.buf) && held <= len(b.buf)/2 {
		copy(b.buf, b.bytes()) // the front half at least is free: no new memory
	} else {
		b.replace(max(held+n, 2*held))
	}
	b.r, b.w = 0, held
}

// replace moves what is held into a slice of the buffer's own.
func (b *buffer) replace(size int) {
	grown := memory.Get(max(size, minOwn))
	grown = grown[:cap(grown)]
	held := copy(grown, b.bytes())
	b.giveBack()
	b.buf, b.r, b.w, b.lent = grown, 0, held, false
}

func (b *buffer) fill(n int) { b.w += n }

func (b *buffer) append(p []byte) {
	b.fill(copy(b.room(len(p)), p))
}

func (b *buffer) discard(n int) { b.r += n }

// release is discard for a buffer that nobody looks into: when it is empty, its
// memory is used from the front again.
func (b *buffer) release(n int) {
	b.discard(n)
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// own ends the loan: what is left is kept in a slice of the buffer's own that
// is not much larger, none if nothing is left.
func (b *buffer) own() {
	switch held := b.len(); {
	case held == 0:
		b.reset()
	case b.lent, len(b.buf) > keepOwn && len(b.buf) > 8*held:
		b.replace(held)
	}
}

// reset drops what is held and returns the memory.
func (b *buffer) reset() {
	b.giveBack()
	*b = buffer{}
}

func (b *buffer) giveBack() {
	if b.buf != nil && !b.lent {
		memory.Put(b.buf)
	}
}

// buffers are what a connection holds in both directions.
type buffers struct{ in, out buffer }

func (b *buffers) empty() bool { return b.in.len() == 0 && b.out.len() == 0 }

// lend gives a connection that holds nothing, and whose callbacks run or are
// about to, the loop's scratch until it is settled. While another connection
// has that, it gets buffers of its own.
func (l *loop) lend(c *Conn) *buffers {
	if l.lent != nil {
		return l.spareBuffers()
	}
	l.lent = c
	return &l.scratch
}

// takeBack ends what lend began. What is left is kept in memory of the
// connection's own.
func (l *loop) takeBack(c *Conn) {
	if s := &l.scratch; c.buf == s {
		l.lent = nil
		if s.empty() && s.in.lent && s.out.lent {
			s.in.r, s.in.w, s.out.r, s.out.w = 0, 0, 0, 0
			c.buf = nil
			return
		}
		c.buf = l.spareBuffers()
		*c.buf = *s
		l.renewScratch()
	}
	c.buf.in.own()
	c.buf.out.own()
	if c.buf.empty() {
		l.spare = append(l.spare, c.buf)
		c.buf = nil
	}
}

// dropBuffers forgets what a connection holds.
func (l *loop) dropBuffers(c *Conn) {
	c.dropReserved()
	if c.buf == nil {
		return
	}
	c.buf.in.reset()
	c.buf.out.reset()
	if c.buf == &l.scratch {
		l.lent = nil
		l.renewScratch()
	} else {
		l.spare = append(l.spare, c.buf)
	}
	c.buf = nil
}

func (l *loop) renewScratch() {
	l.scratch.in = buffer{buf: l.input, lent: true}
	l.scratch.out = buffer{buf: l.output, lent: true}
}

// spareBuffers are empty ones, used before if possible.
func (l *loop) spareBuffers() *buffers {
	n := len(l.spare)
	if n == 0 {
		return new(buffers)
	}
	b := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return b
}
