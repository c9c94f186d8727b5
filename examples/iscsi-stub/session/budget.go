package session

import (
	"sync"
	"sync/atomic"
)

// budget is memory that the commands of a tenant share, in bytes. Who asks for more than
// is left waits in line, the first come first, so that a large command is not passed by
// small ones for ever. Any goroutine may call its methods.
type budget struct {
	mu     sync.Mutex
	total  int
	used   int
	grants int // what was taken, not forced, and is still lent
	first  *grant
	last   *grant
	tight  atomic.Bool // little is left: no more commands should be let come
}

// grant is a place in a budget's line. It belongs to the budget from take until ready is called or
// it is withdrawn.
type grant struct {
	n      int
	ready  func() // the memory is there; called by the goroutine that has given it back
	next   *grant
	inLine bool
}

// take asks for g.n bytes: true if they are there now. Otherwise g.ready is called when
// they are. More than there is left is had by who is alone in having taken some: others have
// memory by force only, may be in line with that, and so never give it back.
func (b *budget) take(g *grant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil && b.fits(g.n) {
		b.lend(g.n)
		b.judge()
		return true
	}
	if b.first == nil {
		b.first = g
	} else {
		b.last.next = g
	}
	b.last, g.next, g.inLine = g, nil, true
	b.judge()
	return false
}

func (b *budget) fits(n int) bool { return b.used+n <= b.total || b.grants == 0 }

func (b *budget) lend(n int) {
	b.used += n
	b.grants++
}

// overdraft is by how much what comes without having been asked for may exceed the budget: as much
// again.
const overdraft = 2

// try takes n bytes for data that come without having been asked for, passing the line. It
// returns false if there is far too much of that.
func (b *budget) try(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > overdraft*b.total {
		return false
	}
	b.used += n
	b.judge()
	return true
}

// force takes n bytes that must be had, whatever is left.
func (b *budget) force(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	b.judge()
}

// give returns n bytes, however they were had, of which take has lent some grants times, and
// serves the line.
func (b *budget) give(n, grants int) {
	b.mu.Lock()
	b.used -= n
	b.grants -= grants
	granted := b.serve()
	b.mu.Unlock()
	call(granted)
}

// withdraw leaves the line. It returns false if g is not in it any more: its memory has
// been granted.
func (b *budget) withdraw(g *grant) bool {
	b.mu.Lock()
	if !g.inLine {
		b.mu.Unlock()
		return false
	}
	b.remove(g)
	granted := b.serve()
	b.mu.Unlock()
	call(granted)
	return true
}

func (b *budget) remove(g *grant) {
	var before *grant
	for at := b.first; at != g; at = at.next {
		before = at
	}
	if before == nil {
		b.first = g.next
	} else {
		before.next = g.next
	}
	if b.last == g {
		b.last = before
	}
	g.next, g.inLine = nil, false
}

// serve takes those off the line whose turn it is, as a list.
func (b *budget) serve() *grant {
	var granted *grant
	tail := &granted
	for b.first != nil && b.fits(b.first.n) {
		g := b.first
		b.lend(g.n)
		b.remove(g)
		*tail = g
		tail = &g.next
	}
	b.judge()
	return granted
}

func call(granted *grant) {
	for granted != nil {
		g := granted
		granted, g.next = g.next, nil
		g.ready()
	}
}

// judge keeps tight up to date; b.mu is held.
func (b *budget) judge() { b.tight.Store(b.first != nil || b.used > b.total) }

// inUse is how many bytes are taken.
func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// resize changes the total. What is lent stays lent.
func (b *budget) resize(total int) {
	b.mu.Lock()
	b.total = total
	granted := b.serve()
	b.mu.Unlock()
	call(granted)
}
