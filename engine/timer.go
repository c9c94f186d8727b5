package engine

import "math"

// timer is an entry in a loop's heap of timers. It lives inside what it times
// and belongs to one loop.
type timer struct {
	when  int64 // nanoseconds of the engine's clock
	index int   // in the heap, plus 1; 0 is not armed
	conn  *Conn
	fire  func(*loop) // when there is no connection
}

// later is a time plus a duration, at most the end of time.
func later(when, d int64) int64 {
	if sum := when + d; sum >= when {
		return sum
	}
	return math.MaxInt64
}

// timers is a binary heap, the earliest first. Timers are armed lazily: one
// that need not fire as early as it was armed is re-armed when it does, not
// at every packet.
type timers []*timer

// next is when the earliest timer is due.
func (h timers) next() (when int64, armed bool) {
	if len(h) == 0 {
		return 0, false
	}
	return h[0].when, true
}

// set arms a timer, or moves it.
func (h *timers) set(t *timer, when int64) {
	t.when = when
	if t.index == 0 {
		*h = append(*h, t)
		t.index = len(*h)
		h.up(t.index - 1)
		return
	}
	h.down(h.up(t.index - 1))
}

// remove disarms a timer.
func (h *timers) remove(t *timer) {
	if t.index == 0 {
		return
	}
	i, last := t.index-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if i < last {
		h.down(h.up(i))
	}
}

// due takes the earliest timer if it is due.
func (h *timers) due(now int64) *timer {
	if len(*h) == 0 || (*h)[0].when > now {
		return nil
	}
	t := (*h)[0]
	h.remove(t)
	return t
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h timers) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].when <= h[i].when {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].when < h[child].when {
			child = right
		}
		if h[i].when <= h[child].when {
			return
		}
		h.swap(i, child)
		i = child
	}
}
