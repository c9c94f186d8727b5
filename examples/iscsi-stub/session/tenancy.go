package session

import (
	"sync"
	"time"
)

// tenancy is what the connections of a tenant share: its limits, and what it has of them.
// It is kept under the tenant's name for as long as the server is.
type tenancy struct {
	name   string
	memory budget // for data-out

	mu        sync.Mutex
	limits    Limits
	conns     int
	loggingIn int
	sessions  map[sessionKey]*session
	byTSIH    map[uint16]*session
	nextTSIH  uint16
	logged    map[Violation]time.Time
}

func newTenancy(name string) *tenancy {
	return &tenancy{
		name:     name,
		sessions: make(map[sessionKey]*session),
		byTSIH:   make(map[uint16]*session),
		logged:   make(map[Violation]time.Time),
	}
}

// follow makes the limits those of a tenant that is new, or reloaded.
func (t *tenancy) follow(l Limits) {
	l.setDefaults()
	t.mu.Lock()
	t.limits = l
	t.mu.Unlock()
	t.memory.resize(l.DataOut)
}

// admit counts a connection, if there may be one more.
func (t *tenancy) admit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns >= t.limits.Connections || t.loggingIn >= t.limits.LoggingIn {
		return false
	}
	t.conns++
	t.loggingIn++
	return true
}

// leave is the end of a connection that was admitted.
func (t *tenancy) leave(loggedIn bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns--
	if !loggedIn {
		t.loggingIn--
	}
}

func (t *tenancy) loggedIn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loggingIn--
}

// newTSIH is a number that no session of the tenant has, 0 if all are taken; t.mu is held.
func (t *tenancy) newTSIH() uint16 {
	for range 1 << 16 {
		t.nextTSIH++
		if t.nextTSIH != 0 && t.byTSIH[t.nextTSIH] == nil {
			return t.nextTSIH
		}
	}
	return 0
}

// logEvery is how often a violation of one kind is logged for a tenant.
const logEvery = 10 * time.Second

// mayLog says whether a violation is to be logged: not if one of its kind was just now.
func (t *tenancy) mayLog(v Violation, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.logged[v]; ok && now.Sub(last) < logEvery {
		return false
	}
	t.logged[v] = now
	return true
}

// forget takes a session that has gone out of the tables.
func (t *tenancy) forget(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byTSIH[s.info.TSIH] == s {
		delete(t.byTSIH, s.info.TSIH)
	}
	if key := s.key(); t.sessions[key] == s {
		delete(t.sessions, key)
	}
}
