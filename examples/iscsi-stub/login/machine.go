package login

import "io"

// MaxSegment is how many bytes of text a Login Request or Response carries at most: the
// default MaxRecvDataSegmentLength, which holds until the login phase ends (RFC 7143,
// section 13.12).
const MaxSegment = 8192

// Stage is a stage of the login phase, or what follows it: CSG and NSG (RFC 7143,
// section 11.12.3).
type Stage uint8

// The stages. 2 is reserved.
const (
	Security    Stage = 0
	Operational Stage = 1
	FullFeature Stage = 3
)

// ISID is the initiator's part of a session's identifier.
type ISID [6]byte

// Request is what the header of a Login Request says (RFC 7143, section 11.12).
type Request struct {
	Transit    bool  // T
	Continue   bool  // C
	Current    Stage // CSG
	Next       Stage // NSG, meaningful with Transit
	VersionMax uint8
	VersionMin uint8
	ISID       ISID
	TSIH       uint16
	TaskTag    uint32 // Initiator Task Tag
	CID        uint16
	CmdSN      uint32
	ExpStatSN  uint32
}

// Response is a Login Response but for its sequence numbers, which are the session's
// (RFC 7143, section 11.13).
type Response struct {
	Transit       bool
	Continue      bool
	Current       Stage
	Next          Stage
	VersionMax    uint8
	VersionActive uint8
	ISID          ISID
	TSIH          uint16
	TaskTag       uint32
	Status        Status
	Text          []byte // the data segment, at most MaxSegment bytes; valid until the Machine's next step
}

// Verdict says what to do after a step.
type Verdict uint8

const (
	// More means: send the response and wait for the next Login Request.
	More Verdict = iota
	// Admit means: the initiator is who it says it is and all is negotiated. There is no
	// response yet: find the session of Machine.Result a place, then send what
	// Machine.Accept or Machine.Refuse returns.
	Admit
	// Failed means: send the response and close the connection. Machine.Err says why.
	Failed
)

// Version is the only version of iSCSI that there is, as Version-max, -min and -active.
const Version = 0

// Config is what all logins have in common. It is not changed once in use; many Machines
// share it.
type Config struct {
	// Rand is where challenges come from; nil is crypto/rand. Used by many goroutines if
	// Machines are.
	Rand io.Reader
	// Algorithms are the CHAP algorithms that are taken; the initiator's order decides. Nil is
	// all that are known here; most initiators know MD5 only.
	Algorithms []Algorithm
	// Preferences are the target's wishes where a Target has none of its own.
	Preferences Preferences
	// LenientSendTargets answers SendTargets=All in a normal session, with the session's own
	// target. RFC 7143, appendix C, says that it must not be supported; some initiators and
	// test suites want it.
	LenientSendTargets bool
}

// Machine is the login phase of one connection. One goroutine at a time uses it. It keeps
// no more than 64 KiB of what a peer sends, and as much of what it has to answer.
type Machine struct {
	cfg *Config
	dir Directory

	started  bool
	declared bool // the target's declarations are made
	state    state
	first    Request // what further requests must repeat
	stage    Stage
	text     gather
	talk     talk
	auth     auth
	result   Result
	final    Response // what Accept completes
	err      *Error
}

// state is where a Machine is.
type state uint8

const (
	talking state = iota
	admitting
	ended
)

// New makes the Machine of a connection that may see what is in dir.
func New(cfg *Config, dir Directory) *Machine {
	return &Machine{
		cfg:  cfg,
		dir:  dir,
		talk: talk{params: DefaultParams(), heard: make(map[string]string), asked: make(map[string]bool)},
	}
}

// Step takes a Login Request with its data segment, which is not kept, and gives the
// answer. After Failed, and once Accept or Refuse has been called, a further step fails too.
func (m *Machine) Step(req Request, data []byte) (Response, Verdict) {
	res, err := m.step(req, data)
	if err != nil {
		return m.fail(req, err), Failed
	}
	if m.state == admitting {
		m.final = res
		return Response{}, Admit
	}
	return res, More
}

func (m *Machine) step(req Request, data []byte) (Response, *Error) {
	if err := m.check(req, data); err != nil {
		return Response{}, err
	}
	pairs, err := m.text.add(data, !req.Continue)
	switch {
	case err != nil:
		return Response{}, refuse(InitiatorError, "%v", err)
	case req.Continue:
		return m.respond(req, nil), nil // the initiator has the word
	case m.talk.out != nil && len(pairs) > 0:
		return Response{}, refuse(InvalidDuringLogin, "text while there is more to come from the target")
	case m.talk.out == nil:
		if err := m.hear(pairs); err != nil {
			return Response{}, err
		}
	}
	return m.answer(req)
}

// answer says what there is to say. Only its last PDU may go over to the next stage.
func (m *Machine) answer(req Request) (Response, *Error) {
	ready := false
	if req.Transit && len(m.talk.out) <= MaxSegment {
		var err *Error
		if ready, err = m.ready(req.Next); err != nil {
			return Response{}, err
		}
	}
	text, more := m.talk.take(MaxSegment)
	res := m.respond(req, text)
	res.Continue = more
	if !ready || more {
		return res, nil
	}
	res.Transit, res.Next = true, req.Next
	if m.stage = req.Next; m.stage == FullFeature {
		m.state = admitting
		m.result.Params = m.talk.inForce()
		m.result.Alias = m.talk.alias
	}
	return res, nil
}

// respond makes a response of success that stays in its stage.
func (m *Machine) respond(req Request, text []byte) Response {
	return Response{Current: req.Current, ISID: req.ISID, TSIH: req.TSIH, TaskTag: req.TaskTag, Text: text}
}

// fail ends the login phase.
func (m *Machine) fail(req Request, err *Error) Response {
	m.state, m.err = ended, err
	res := m.respond(req, nil)
	res.Status = err.Status
	if err.Status.Class() == 1 && len(m.result.Target.Addresses) > 0 {
		res.Text = appendPair(nil, "TargetAddress", m.result.Target.Addresses[0].Address)
	}
	return res
}

// Result is what has been agreed on; complete once Step has said Admit. Before that,
// names in it are the initiator's claim.
func (m *Machine) Result() Result { return m.result }

// Accept ends the login phase after Admit: the response says so and carries the session's
// TSIH, which is not 0. At any other time it is a refusal.
func (m *Machine) Accept(tsih uint16) Response {
	if m.state != admitting || tsih == 0 {
		return m.Refuse(TargetError)
	}
	m.state = ended
	m.result.TSIH = tsih
	m.final.TSIH = tsih
	return m.final
}

// Refuse ends the login phase after Admit with what stands against it: NoSession,
// TooManyConnections, OutOfResources and the like. Send the response and close.
func (m *Machine) Refuse(s Status) Response {
	return m.fail(m.first, refuse(s, "no place for the session"))
}

// Err is why the login failed, an [*Error]; nil as long as it has not.
func (m *Machine) Err() error {
	if m.err == nil {
		return nil
	}
	return m.err
}
