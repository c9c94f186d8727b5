package engine

import (
	"sync"
	"sync/atomic"
)

// mailbox is how other goroutines reach a loop. It is a slice under a lock,
// swapped out whole: cheaper than a lock-free queue, and it allocates nothing
// once it has grown.
type mailbox struct {
	mu     sync.Mutex
	tasks  []task
	closed bool

	length   atomic.Int64 // of tasks, to look at without the lock
	sleeping atomic.Bool  // the loop waits, or is about to: wake it
}

// task is one thing to do on the loop. A closed set of kinds, rather than
// closures, so that posting a wake or a close allocates nothing.
type task struct {
	kind taskKind
	conn *Conn
	data []byte      // taskWrite
	done func(error) // taskWrite: called once, whatever happens
	run  func(*loop) // taskLoop: the engine's own work
	call func(*Conn) // taskCall: a handler's function
	fd   accepted    // taskAdopt
	ep   *endpoint   // taskAdopt
	work *job        // taskWork
}

type taskKind uint8

const (
	taskLoop taskKind = iota
	taskWrite
	taskWake
	taskCall
	taskClose
	taskCloseWrite
	taskCloseNow
	taskAdopt
	taskWork
	taskDial
)

// post leaves a task. It reports whether the loop must be woken, and false for
// ok if the mailbox is closed; the task is then the caller's to give up.
func (m *mailbox) post(t task) (wake, ok bool) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return false, false
	}
	m.tasks = append(m.tasks, t)
	m.length.Store(int64(len(m.tasks)))
	m.mu.Unlock()
	// The loop stores sleeping, then looks at the length; this side stores the
	// length, then looks at sleeping. One of the two sees the other.
	return m.sleeping.Load() && m.sleeping.CompareAndSwap(true, false), true
}

// keepTasks is how large a slice may be that is used again: what a flood has
// grown goes back to the collector.
const keepTasks = 4096

// take swaps the waiting tasks for an empty slice, which take will return
// after the next call.
func (m *mailbox) take(empty []task) []task {
	if cap(empty) > keepTasks {
		empty = nil
	}
	m.mu.Lock()
	tasks := m.tasks
	m.tasks = empty[:0]
	m.length.Store(0)
	m.mu.Unlock()
	return tasks
}

// empty reports whether nothing waits.
func (m *mailbox) empty() bool { return m.length.Load() == 0 }

// close refuses all further tasks and returns those that wait.
func (m *mailbox) close() []task {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	tasks := m.tasks
	m.tasks = nil
	m.length.Store(0)
	return tasks
}
