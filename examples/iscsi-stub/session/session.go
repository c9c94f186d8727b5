package session

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
)

// session is an I_T nexus, with one connection or several, which may live on several
// loops: what they share is behind mu.
type session struct {
	server  *Server
	tenancy *tenancy
	info    Info
	params  login.Params
	target  *Target      // nil in a discovery session
	device  *scsi.Device // nil in a discovery session
	nexus   *scsi.Nexus  // the same

	mu     sync.Mutex
	window window
	tasks  taskSet
	held   []*held // requests that came early, in order
	conns  []*connection
	counts Counts
	ended  bool   // no more connections; it goes when it is empty
	gone   bool   // it has
	why    string // it has ended
	after  []func()
}

// held is a request that waits for those before it, with the data that belongs to it.
type held struct {
	sn   pdu.Serial
	cn   *connection // nil: there is nothing to deliver, the number is only taken
	tmf  bool        // an immediate one, which takes no number: delivered when sn is due
	pdus []heldPDU
	size int
}

type heldPDU struct {
	header pdu.Header
	data   []byte
	good   bool // the digest of the data
}

// newSession is the session that a login begins.
func newSession(cn *connection, r *login.Result, target *Target, tsih uint16) *session {
	s := &session{
		server:  cn.server,
		tenancy: cn.tenancy,
		params:  r.Params,
		target:  target,
		info: Info{
			Tenant: cn.tenancy.name, Namespace: cn.c.Namespace().Name(),
			Initiator: r.Initiator, Alias: r.Alias, User: r.User,
			Target: r.Target.Name, Group: r.Target.PortalGroup,
			ISID: r.ISID, TSIH: tsih, Opened: cn.c.Now(), Params: r.Params,
		},
		window: newWindow(pdu.Serial(r.CmdSN), cn.server.cfg.Window),
		conns:  []*connection{cn},
	}
	if target != nil {
		s.device = target.Device // it may ask for an abort before Connect returns
		s.nexus = s.device.Connect(scsi.NexusConfig{
			InitiatorPort: fmt.Sprintf("%s,i,0x%x", r.Initiator, r.ISID),
			TargetPort:    r.Target.PortalGroup,
			Aborter:       s,
		})
	}
	return s
}

// key is what the session is reinstated by.
func (s *session) key() sessionKey {
	return sessionKey{Initiator: s.info.Initiator, ISID: s.info.ISID, Target: s.info.Target, PortalGroup: s.info.Group}
}

// live is the session as a login that concerns it sees it.
func (s *session) live() *login.Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &login.Live{TSIH: s.info.TSIH, MaxConnections: int(s.params.MaxConnections)}
	for _, cn := range s.conns {
		l.CIDs = append(l.CIDs, cn.cid)
	}
	return l
}

// numbers are the window's, for a PDU to be sent.
func (s *session) numbers() (n pdu.Numbers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.windowNumbers()
}

// windowNumbers is numbers with mu held.
func (s *session) windowNumbers() pdu.Numbers {
	return pdu.Numbers{ExpCmdSN: s.window.next, MaxCmdSN: s.window.last}
}

// reopen lets as many requests come as there is room for; mu is held. While the tenant
// has too much data waiting, that is one at a time.
func (s *session) reopen() {
	n := s.server.cfg.Window - s.tasks.n
	if s.tenancy.memory.tight.Load() {
		n = 1 - min(s.tasks.n, 1)
	}
	s.window.open(max(n, 0))
}

// abortion waits for tasks that are being aborted.
type abortion struct {
	left int // the session's
	done func()
}

// AbortTasks aborts the session's tasks at a logical unit, as scsi.Aborter has it. They get
// no response.
func (s *session) AbortTasks(u *scsi.Unit, done func()) {
	units := s.device.Units()
	s.abort(func(t *task) bool {
		lun, ok := lunNumber(t.cmd.LUN)
		return ok && units[lun] == u
	}, done)
}

// abort aborts those tasks that match, and calls done when none of them is left: at once,
// if there are none.
func (s *session) abort(match func(*task) bool, done func()) {
	a := &abortion{done: done}
	var conns []*connection
	s.mu.Lock()
	for t := s.tasks.first; t != nil; t = t.younger {
		if !match(t) {
			continue
		}
		t.aborted = true
		t.aborts = append(t.aborts, a)
		a.left++
		if !slices.Contains(conns, t.cn) {
			conns = append(conns, t.cn)
		}
	}
	none := a.left == 0
	s.mu.Unlock()
	if none {
		done()
	}
	for _, cn := range conns {
		cn.c.Call(cn.sweep)
	}
}

func (s *session) isAborted(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.aborted
}

// tasksOf are the tasks of a connection that match. A task that a worker has may be gone as
// soon as tasksOf returns.
func (s *session) tasksOf(cn *connection, match func(*task) bool) []*task {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*task
	for t := s.tasks.first; t != nil; t = t.younger {
		if t.cn == cn && match(t) {
			found = append(found, t)
		}
	}
	return found
}

// remove takes a task that has ended out of the session, and lets others start that have
// waited for it. The numbers are for its response. Any goroutine may call it.
func (s *session) remove(t *task, e *Ended) pdu.Numbers {
	s.mu.Lock()
	others := s.tasks.remove(t)
	var kick []*connection
	if others {
		kick = s.enable()
	}
	s.reopen()
	n := s.windowNumbers()
	s.counts.add(e)
	var done []func()
	for _, a := range t.aborts {
		if a.left--; a.left == 0 {
			done = append(done, a.done)
		}
	}
	over := s.over()
	s.mu.Unlock()
	for _, cn := range kick {
		cn.c.Call(cn.startEnabled)
	}
	for _, f := range done {
		f()
	}
	if over {
		s.bury()
	}
	return n
}

// enable finds tasks that may start now, and returns the connections to tell; mu is held.
func (s *session) enable() (kick []*connection) {
	for t := s.tasks.first; t != nil; t = t.younger {
		if !t.enabled && s.tasks.enabled(t) {
			t.enabled = true
			if !slices.Contains(kick, t.cn) {
				kick = append(kick, t.cn)
			}
		}
	}
	return kick
}

func (c *Counts) add(e *Ended) {
	c.Commands++
	c.BytesIn += uint64(e.BytesIn)
	c.BytesOut += uint64(e.BytesOut)
	switch {
	case e.Aborted:
		c.Aborted++
	case e.Status != scsi.Good:
		c.Errors++
	}
}

// over says, once, that nothing is left of a session that has ended; mu is held.
func (s *session) over() bool {
	if !s.ended || s.gone || len(s.conns) > 0 || s.tasks.n > 0 {
		return false
	}
	s.gone = true
	return true
}

// bury is the end of a session: the nexus is lost.
func (s *session) bury() {
	if s.nexus != nil {
		s.nexus.Close()
	}
	s.tenancy.forget(s)
	s.server.cfg.Observer.SessionClosed(&s.info, s.why)
	s.server.log(s).Info("session closed", "why", s.why)
	s.mu.Lock()
	after := s.after
	s.after = nil
	s.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// end closes a session's connections; f, which may be nil, is called when it has gone. Any
// goroutine may call it.
func (s *session) end(why string, f func()) {
	s.mu.Lock()
	if !s.ended {
		s.ended, s.why = true, why
	}
	gone := s.gone && s.after == nil
	if f != nil && !gone {
		s.after = append(s.after, f)
	}
	conns := slices.Clone(s.conns)
	over := s.over()
	s.mu.Unlock()
	if f != nil && gone {
		f()
	}
	for _, cn := range conns {
		cn.c.CloseNow()
	}
	if over {
		s.bury()
	}
}

// detach is the end of a connection, on its loop. Its tasks are aborted; the session goes
// with its last connection, and, since connections are not recovered (error recovery
// level 2), with one that has not logged out.
func (s *session) detach(cn *connection) {
	s.mu.Lock()
	s.conns = slices.DeleteFunc(s.conns, func(c *connection) bool { return c == cn })
	s.held = slices.DeleteFunc(s.held, func(h *held) bool {
		if h.cn == cn {
			h.free()
		}
		return h.cn == cn
	})
	var others []*connection
	switch {
	case len(s.conns) == 0 && !cn.replaced, !cn.loggedOut && !cn.replaced:
		if !s.ended {
			s.ended, s.why = true, "connection lost"
			if cn.loggedOut {
				s.why = "logout"
			}
		}
		others = slices.Clone(s.conns)
	}
	after := cn.after
	cn.after = nil
	s.mu.Unlock()
	for _, other := range others {
		other.c.CloseNow()
	}
	s.abort(func(t *task) bool { return t.cn == cn }, func() {
		for _, f := range after {
			f()
		}
	})
	cn.sweep(cn.c)
	s.mu.Lock()
	over := s.over()
	s.mu.Unlock()
	if over {
		s.bury()
	}
}

// state is a snapshot.
func (s *session) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{Info: &s.info, Tasks: s.tasks.n, Window: s.window.room(), Counts: s.counts}
	for _, cn := range s.conns {
		st.Connections = append(st.Connections, ConnectionState{
			CID: cn.cid, Remote: cn.c.RemoteAddr(), Local: cn.local, Loop: cn.c.Loop(),
			HeaderDigest: cn.format.HeaderDigest, DataDigest: cn.format.DataDigest,
		})
	}
	return st
}

// lunNumber decodes a LUN of single level structure, by peripheral device or flat space
// addressing (SAM-5, 4.7.7).
func lunNumber(b [8]byte) (lun uint16, ok bool) {
	for _, more := range b[2:] {
		if more != 0 {
			return 0, false
		}
	}
	switch b[0] >> 6 {
	case 0:
		return uint16(b[1]), b[0] == 0
	case 1:
		return uint16(b[0]&0x3f)<<8 | uint16(b[1]), true
	}
	return 0, false
}

// latency is how long a task took.
func (t *task) latency(now time.Time) time.Duration { return now.Sub(t.began) }
