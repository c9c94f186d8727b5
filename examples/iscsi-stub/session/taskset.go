package session

import "github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"

// taskSet is the tasks of a session: by their tags, and in the order in which they came. A
// session is an I_T nexus, and each nexus has a task set of its own at each logical unit
// (TST is 001b), so that this is where task attributes have their effect (SAM-5, 8.6).
//
// The session's mutex guards it. It does not allocate once it has been as large.
type taskSet struct {
	buckets     []*task // chained by hashNext; a power of two of them
	first, last *task   // chained by older, younger
	n           int
	special     int // tasks that are not SIMPLE: as long as there is none, nobody waits
}

const leastBuckets = 16

func (s *taskSet) bucket(tag uint32) **task {
	return &s.buckets[tag*0x9E3779B1>>16&uint32(len(s.buckets)-1)]
}

// find is the task with an initiator task tag, or nil.
func (s *taskSet) find(tag uint32) *task {
	if s.n == 0 {
		return nil
	}
	t := *s.bucket(tag)
	for t != nil && uint32(t.itt) != tag {
		t = t.hashNext
	}
	return t
}

// add puts a task behind the others. It says whether the task may start.
func (s *taskSet) add(t *task) bool {
	if s.n == len(s.buckets) {
		s.grow()
	}
	at := s.bucket(uint32(t.itt))
	t.hashNext, *at = *at, t
	t.older, t.younger = s.last, nil
	if s.last == nil {
		s.first = t
	} else {
		s.last.younger = t
	}
	s.last = t
	s.n++
	if !simple(t) {
		s.special++
	}
	return s.special == 0 || s.enabled(t)
}

func (s *taskSet) grow() {
	s.buckets = make([]*task, max(leastBuckets, 2*len(s.buckets)))
	for t := s.first; t != nil; t = t.younger {
		at := s.bucket(uint32(t.itt))
		t.hashNext, *at = *at, t
	}
}

// remove takes a task out. It says whether others may be able to start now.
func (s *taskSet) remove(t *task) bool {
	at := s.bucket(uint32(t.itt))
	for *at != t {
		at = &(*at).hashNext
	}
	*at = t.hashNext
	if t.older == nil {
		s.first = t.younger
	} else {
		t.older.younger = t.younger
	}
	if t.younger == nil {
		s.last = t.older
	} else {
		t.younger.older = t.older
	}
	t.hashNext, t.older, t.younger = nil, nil, nil
	s.n--
	waiting := s.special > 0
	if !simple(t) {
		s.special--
	}
	return waiting
}

func simple(t *task) bool {
	return t.cmd.Attribute != scsi.Ordered && t.cmd.Attribute != scsi.HeadOfQueue
}

// enabled says whether a task may start (SAM-5, 8.6): a HEAD OF QUEUE task at once, an
// ORDERED one when all older tasks of its logical unit have ended, and a SIMPLE one when all
// older ORDERED ones have; both when no HEAD OF QUEUE task is left.
func (s *taskSet) enabled(t *task) bool {
	if t.cmd.Attribute == scsi.HeadOfQueue {
		return true
	}
	older := true
	for o := s.first; o != nil; o = o.younger {
		switch {
		case o == t:
			older = false
		case o.cmd.LUN != t.cmd.LUN:
		case o.cmd.Attribute == scsi.HeadOfQueue,
			older && (o.cmd.Attribute == scsi.Ordered || t.cmd.Attribute == scsi.Ordered):
			return false
		}
	}
	return true
}
