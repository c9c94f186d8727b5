package volume

import "sync"

// turns orders accesses that overlap. Those that share (reads and writes) run side
// by side, one that claims (an Update) runs alone.
//
// A lock belongs to every stripes-th region of the volume, so that who waits for the
// disk in one region keeps few others waiting, and two loops on two cores seldom
// touch the same lock. Locks are taken in the order of their index: no two accesses
// can wait for each other.
type turns [stripes]struct {
	sync.RWMutex
	_ [40]byte // to the end of the cache line
}

const (
	stripes    = 16
	regionBits = 20
)

// turn is what take took: count locks from first on, around the end.
type turn struct {
	first, count int
	alone        bool
}

// take takes a turn for n bytes at off; false: it would have to wait.
func (l *turns) take(off, n int64, alone bool, w Wait) (turn, bool) {
	first := off >> regionBits
	count := min((off+max(n, 1)-1)>>regionBits-first+1, stripes)
	t := turn{int(first % stripes), int(count), alone}
	if t.count == 1 { // nearly always
		return t, l.lock(t.first, alone, w)
	}
	for i := range stripes {
		if t.has(i) && !l.lock(i, alone, w) {
			l.release(t, i)
			return turn{}, false
		}
	}
	return t, true
}

// all takes a turn alone in the whole volume.
func (l *turns) all() turn {
	t, _ := l.take(0, stripes<<regionBits, true, MayWait)
	return t
}

func (l *turns) done(t turn) {
	if t.count == 1 {
		l.unlock(t.first, t.alone)
		return
	}
	l.release(t, stripes)
}

// release unlocks those of t's locks that are below end.
func (l *turns) release(t turn, end int) {
	for i := range end {
		if t.has(i) {
			l.unlock(i, t.alone)
		}
	}
}

func (t turn) has(i int) bool { return (i-t.first+stripes)%stripes < t.count }

func (l *turns) lock(i int, alone bool, w Wait) bool {
	switch {
	case w == DontWait && alone:
		return l[i].TryLock()
	case w == DontWait:
		return l[i].TryRLock()
	case alone:
		l[i].Lock()
	default:
		l[i].RLock()
	}
	return true
}

func (l *turns) unlock(i int, alone bool) {
	if alone {
		l[i].Unlock()
	} else {
		l[i].RUnlock()
	}
}
