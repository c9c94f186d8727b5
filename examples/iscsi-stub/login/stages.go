package login

// check holds a request against the rules of headers: RFC 7143, section 11.12.
func (m *Machine) check(req Request, data []byte) *Error {
	switch {
	case m.state != talking:
		return refuse(InvalidDuringLogin, "a Login Request after the login phase")
	case len(data) > MaxSegment:
		return refuse(InitiatorError, "a data segment of %d bytes", len(data))
	case req.Current != Security && req.Current != Operational:
		return refuse(InvalidDuringLogin, "CSG is %d", req.Current)
	case req.Transit && req.Continue:
		return refuse(InvalidDuringLogin, "both T and C are set")
	case req.Transit && (req.Next <= req.Current || req.Next != Operational && req.Next != FullFeature):
		return refuse(InvalidDuringLogin, "from stage %d to %d", req.Current, req.Next)
	case req.VersionMin > Version:
		return refuse(UnsupportedVersion, "versions %d to %d", req.VersionMin, req.VersionMax)
	case m.started:
		return m.checkFurther(req)
	}
	m.started = true
	m.first, m.stage = req, req.Current
	m.result.ISID, m.result.TSIH, m.result.CID = req.ISID, req.TSIH, req.CID
	m.result.CmdSN, m.result.ExpStatSN = req.CmdSN, req.ExpStatSN
	return nil
}

// checkFurther wants a request to belong to those before it.
func (m *Machine) checkFurther(req Request) *Error {
	switch {
	case req.Current != m.stage:
		return refuse(InvalidDuringLogin, "CSG is %d in stage %d", req.Current, m.stage)
	case req.ISID != m.first.ISID || req.TSIH != m.first.TSIH || req.CID != m.first.CID || req.TaskTag != m.first.TaskTag:
		return refuse(InvalidDuringLogin, "ISID, TSIH, CID or task tag is not that of the first request")
	}
	return nil
}

// hear takes the complete text of a request.
func (m *Machine) hear(pairs []pair) *Error {
	t := &m.talk
	if m.result.Initiator == "" {
		if err := m.begin(pairs); err != nil {
			return err
		}
	}
	t.phase = inSecurity
	if m.stage == Operational {
		t.phase = inOperational
	}
	if err := t.hearAll(pairs); err != nil {
		return wrap(err)
	}
	if m.stage == Security {
		return m.authenticate(pairs)
	}
	return m.declare()
}

// begin takes what the first request has to say (RFC 7143, section 6.3): who wants to talk
// to whom, and about what.
func (m *Machine) begin(pairs []pair) *Error {
	said := make(map[string]string)
	for _, p := range pairs {
		if _, ok := said[p.key]; !ok {
			said[p.key] = p.value
		}
	}
	name, ok := said["InitiatorName"]
	if !ok {
		return refuse(MissingParameter, "no InitiatorName")
	}
	initiator, err := NormalizeName(name)
	if err != nil {
		return refuse(InitiatorError, "InitiatorName: %v", err)
	}
	if kind, ok := said["SessionType"]; ok && kind != "Normal" && kind != "Discovery" {
		return refuse(UnsupportedSession, "SessionType=%.80q", kind)
	}
	m.result.Initiator = initiator
	m.result.Discovery = said["SessionType"] == "Discovery"
	m.talk.discovery = m.result.Discovery
	m.talk.leading = m.result.TSIH == 0
	if !m.result.Discovery {
		m.talk.heard["SessionType"] = "Normal" // said or not
		return m.beginNormal(said)
	}
	if m.result.TSIH != 0 {
		return refuse(InvalidDuringLogin, "a discovery session has one connection")
	}
	return m.meet(m.dir.Discovery())
}

// beginNormal finds the target of a normal session.
func (m *Machine) beginNormal(said map[string]string) *Error {
	name, ok := said["TargetName"]
	if !ok {
		return refuse(MissingParameter, "no TargetName")
	}
	name, err := NormalizeName(name)
	if err != nil {
		return refuse(NotFound, "TargetName: %v", err)
	}
	target, status := m.dir.Target(name)
	m.result.Target = target
	if status != Success {
		return refuse(status, "target %s", name)
	}
	if err := m.talk.answerNumber("TargetPortalGroupTag", uint64(target.PortalGroup)); err != nil {
		return wrap(err)
	}
	return m.meet(target.Secrets)
}

// meet settles who has to prove what, and what the target wants.
func (m *Machine) meet(secrets Secrets) *Error {
	m.talk.wish = m.cfg.Preferences
	if own := m.result.Target.Preferences; own != nil {
		m.talk.wish = *own
	}
	m.talk.wish.complete()
	m.auth = auth{cfg: m.cfg, secrets: secrets}
	if m.stage == Operational {
		return m.leaveSecurity()
	}
	return nil
}

// leaveSecurity is the only way out of the security stage, and the way past it.
func (m *Machine) leaveSecurity() *Error {
	if !m.auth.done() {
		return refuse(AuthFailure, "%s has not proved who it is", m.result.Initiator)
	}
	m.result.User, m.result.Mutual = m.auth.user, m.auth.mutual
	if may := m.result.Target.Authorized; may != nil && !may(m.result.Initiator, m.result.User) {
		return refuse(NotAuthorized, "%s (user %q) may not use %s", m.result.Initiator, m.result.User, m.result.Target.Name)
	}
	return nil
}

// declare says, once in the operational stage, what the target has to declare.
func (m *Machine) declare() *Error {
	t := &m.talk
	if m.declared {
		return nil
	}
	m.declared = true
	t.params.MaxRecvDataSegmentLength = t.wish.MaxRecvDataSegmentLength
	err := t.answerNumber("MaxRecvDataSegmentLength", uint64(t.wish.MaxRecvDataSegmentLength))
	if alias := m.result.Target.Alias; err == nil && alias != "" {
		err = t.answer("TargetAlias", alias)
	}
	return wrap(err)
}

// ready says whether the target can go over to the stage that the initiator asks for.
func (m *Machine) ready(next Stage) (bool, *Error) {
	if m.stage == Security {
		if m.auth.underWay() {
			return false, nil
		}
		if err := m.leaveSecurity(); err != nil {
			return false, err
		}
	} else if waiting, err := m.talk.askAll(); err != nil || waiting {
		return false, wrap(err)
	}
	if next == FullFeature {
		return true, m.talk.checkDigests()
	}
	return true, nil
}

// wrap is the initiator's error of a negotiation that failed; nil is nil.
func wrap(err error) *Error {
	switch {
	case err == nil:
		return nil
	case isPhase(err):
		return refuse(InvalidDuringLogin, "%v", err)
	}
	return refuse(InitiatorError, "%v", err)
}
