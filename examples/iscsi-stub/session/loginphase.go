package session

import (
	"errors"
	"fmt"
	"slices"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// What ends a connection in its login phase.
var (
	errNotLogin   = errors.New("something else than a login request before the login")
	errNotWaiting = errors.New("a login request before the answer to the last one")
)

// onLogin takes a PDU of the login phase (RFC 7143, section 6.3).
func (cn *connection) onLogin(m message) error {
	h := m.Header
	switch {
	case h.Opcode() != pdu.OpLoginRequest:
		cn.violated(NotLoggedIn, h.Opcode().String())
		return errNotLogin
	case cn.admitted:
		return errNotWaiting
	}
	data, err := cn.format.Data(m)
	if err != nil {
		return err
	}
	if cn.machine == nil {
		cn.view = newView(cn.tenant, cn.local)
		cn.machine = login.New(&cn.server.cfg.Login, cn.view)
	}
	r, verdict := cn.machine.Step(login.Request{
		Transit: h.Transit(), Continue: h.Continue(), Current: login.Stage(h.CSG()), Next: login.Stage(h.NSG()),
		VersionMax: h.VersionMax(), VersionMin: h.VersionMin(), ISID: h.ISID(), TSIH: h.TSIH(),
		TaskTag: uint32(h.ITT()), CID: h.CID(), CmdSN: uint32(h.CmdSN()), ExpStatSN: uint32(h.ExpStatSN()),
	}, data)
	switch verdict {
	case login.More:
		cn.answerLogin(h, r)
	case login.Admit:
		cn.admitted = true
		cn.pending = slices.Clone(h)
		cn.admit(cn.c)
	case login.Failed:
		cn.answerLogin(h, r)
		cn.loginFailed()
	}
	return nil
}

// loginFailed tells of a refused login, and closes once the answer is out.
func (cn *connection) loginFailed() {
	var err *login.Error
	if !errors.As(cn.machine.Err(), &err) {
		err = &login.Error{Status: login.TargetError}
	}
	r := cn.machine.Result()
	cn.server.cfg.Observer.LoginFailed(cn.tenancy.name, r.Initiator, err)
	if cn.tenancy.mayLog(Violation("login "+err.Status.String()), cn.c.Now()) {
		cn.server.cfg.Logger.Warn("login refused", "tenant", cn.tenancy.name, "netns", cn.c.Namespace().Name(),
			"initiator", r.Initiator, "target", r.Target.Name, "status", err.Status.String(), "reason", err.Reason, "peer", cn.c.RemoteAddr())
	}
	cn.c.Close()
}

// answerLogin sends a Login Response.
func (cn *connection) answerLogin(h pdu.Header, r login.Response) {
	p := cn.room(pdu.Format{}.Size(len(r.Text)))
	if p == nil {
		return
	}
	n := pdu.Numbers{ExpCmdSN: h.CmdSN(), MaxCmdSN: h.CmdSN()}
	if cn.session != nil {
		n = cn.session.numbers()
	}
	n.StatSN = cn.statSN
	cn.statSN++
	cn.sent(pdu.LoginResponse{
		Numbers: n, Transit: r.Transit, Continue: r.Continue, CSG: pdu.Stage(r.Current), NSG: pdu.Stage(r.Next),
		VersionMax: r.VersionMax, VersionActive: r.VersionActive, ISID: r.ISID, TSIH: r.TSIH, ITT: pdu.Tag(r.TaskTag),
		Status: pdu.LoginStatus(r.Status), Data: r.Text,
	}.Append(p, pdu.Format{}))
}

// admit finds a login that is agreed on its session: a new one, or one that is there. What
// has to end first is waited for, and then it looks again. It is called as by
// engine.Conn.Call.
func (cn *connection) admit(c *engine.Conn) {
	if c.Ending() {
		return
	}
	r := cn.machine.Result()
	tn := cn.tenancy
	tn.mu.Lock()
	var old *session
	if !r.Discovery {
		old = tn.sessions[r.Key()]
	}
	var live *login.Live
	if old != nil {
		live = old.live()
	}
	again := func() { c.Call(cn.admit) }
	plan, status := r.Plan(live)
	if !cn.welcome(&r) {
		status = login.NotFound
	}
	switch {
	case status != login.Success:
		tn.mu.Unlock()
		cn.refuse(status)
	case plan == login.NewSession:
		s, status := cn.open(&r)
		tn.mu.Unlock()
		if s == nil {
			cn.refuse(status)
			return
		}
		cn.server.cfg.Observer.SessionOpened(&s.info)
		cn.enter(s, &r)
		cn.server.log(s).Info("session opened", "tsih", s.info.TSIH, "peer", c.RemoteAddr(), "discovery", r.Discovery)
	case plan == login.ReinstateSession:
		tn.mu.Unlock()
		old.end("reinstated", again)
	case plan == login.JoinSession:
		joined := old.join(cn, &r)
		tn.mu.Unlock()
		if !joined {
			cn.refuse(login.NoSession)
			return
		}
		cn.enter(old, &r)
	default: // the connection of this CID ends first
		tn.mu.Unlock()
		old.replace(r.CID, func() {
			c.Call(func(c *engine.Conn) {
				cn.admit(c)
				old.endIfEmpty() // this connection has gone meanwhile, or was refused
			})
		})
	}
}

// welcome says whether a login leads where the Directory would let it now: it may have begun
// before that was told something else. The tenancy's mutex is held, so that Revoke finds what
// was let in before.
func (cn *connection) welcome(r *login.Result) bool {
	var target *Target
	if !r.Discovery {
		if target = cn.view.find(r.Target.Name); target == nil {
			return false
		}
	}
	return cn.server.welcome(cn.c.Namespace(), target, &Info{Tenant: cn.tenancy.name, Initiator: r.Initiator, User: r.User})
}

// open makes a new session, with the tenancy's mutex held; nil and why, if there cannot be one.
func (cn *connection) open(r *login.Result) (*session, login.Status) {
	tn := cn.tenancy
	if len(tn.byTSIH) >= tn.limits.Sessions {
		return nil, login.OutOfResources
	}
	var target *Target
	if !r.Discovery {
		target = cn.view.find(r.Target.Name)
	}
	tsih := tn.newTSIH()
	if tsih == 0 {
		return nil, login.OutOfResources
	}
	cn.settle(r)
	s := newSession(cn, r, target, tsih)
	tn.byTSIH[tsih] = s
	if target != nil {
		tn.sessions[r.Key()] = s
	}
	return s, login.Success
}

// settle notes what the login has negotiated for the connection itself.
func (cn *connection) settle(r *login.Result) {
	cn.cid, cn.params = r.CID, r.Params
	cn.format = pdu.Format{HeaderDigest: r.Params.HeaderDigest, DataDigest: r.Params.DataDigest}
}

// join adds a connection to the session, unless that is ending.
func (s *session) join(cn *connection, r *login.Result) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	cn.settle(r)
	s.conns = append(s.conns, cn)
	return true
}

// replace ends the connection that has a CID, without the session, and then calls f.
func (s *session) replace(cid uint16, f func()) {
	s.mu.Lock()
	i := slices.IndexFunc(s.conns, func(cn *connection) bool { return cn.cid == cid })
	if i < 0 {
		s.mu.Unlock()
		f()
		return
	}
	old := s.conns[i]
	old.replaced = true
	old.after = append(old.after, f)
	s.mu.Unlock()
	old.c.CloseNow()
}

// endIfEmpty ends a session that is left without a connection.
func (s *session) endIfEmpty() {
	s.mu.Lock()
	empty := len(s.conns) == 0
	s.mu.Unlock()
	if empty {
		s.end("connection lost", nil)
	}
}

// refuse ends the login phase with what stands against it.
func (cn *connection) refuse(status login.Status) {
	cn.answerLogin(cn.pending, cn.machine.Refuse(status))
	cn.loginFailed()
}

// enter begins the full feature phase, with the last Login Response.
func (cn *connection) enter(s *session, r *login.Result) {
	cn.session = s
	cn.answerLogin(cn.pending, cn.machine.Accept(s.info.TSIH))
	local := cn.params
	cn.params = s.params // the session's, but for what each connection has of its own
	cn.params.HeaderDigest, cn.params.DataDigest = local.HeaderDigest, local.DataDigest
	cn.params.MaxRecvDataSegmentLength, cn.params.MaxSendDataSegmentLength = local.MaxRecvDataSegmentLength, local.MaxSendDataSegmentLength
	result := *r
	result.Params = cn.params
	cn.text = login.NewText(&cn.server.cfg.Login, cn.view, result)
	cn.machine, cn.pending, cn.view = nil, nil, nil
	cn.limits = outLimits{
		firstBurst: int(cn.params.FirstBurstLength), maxBurst: int(cn.params.MaxBurstLength),
		outstanding: int(cn.params.MaxOutstandingR2T), immediate: cn.params.ImmediateData,
		unsolicited: !cn.params.InitialR2T, recover: cn.params.ErrorRecoveryLevel > 0,
	}
	if cn.params.ErrorRecoveryLevel > 0 {
		cn.recovery = new(recovery)
	}
	cn.loggedIn = true
	cn.tenancy.loggedIn()
	d := cn.format.Decoder(int(cn.params.MaxRecvDataSegmentLength))
	d.Alloc, d.Free = cn.place, func([]byte) {}
	if err := cn.server.framer.SetDecoder(cn.c, d); err != nil {
		cn.c.Fail(fmt.Errorf("session: %w", err))
	}
	cn.c.SetTimer(cn.server.cfg.PingAfter)
}
