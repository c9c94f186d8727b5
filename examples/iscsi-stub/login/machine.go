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

// Config is what all logins have in common. It is not changed once in use; many Machines
// share it.
type Config struct {
	// Rand is where challenges come from; nil is crypto/rand. Used by many goroutines if
	// Machines are.
	Rand io.Reader
	// Algorithms are the CHAP algorithms that are taken; the initiator's order decides. Nil is
	// SHA3-256, SHA-256, SHA1 and MD5: MD5 is all that most initiators know.
	Algorithms []Algorithm
	// Preferences are the target's wishes where a Target has none of its own.
	Preferences Preferences
	// LenientSendTargets answers SendTargets=All in a normal session, with the session's own
	// target. RFC 7143, appendix C, says that it must not be supported; some initiators and
	// test suites want it.
	LenientSendTargets bool
}

// Machine is the login phase of one connection. One goroutine at a time uses it. It keeps
// no more than 64 KiB of what a peer sends.
type Machine struct {
	cfg    *Config
	dir    Directory
	result Result
	err    error
}

// New makes the Machine of a connection that may see what is in dir.
func New(cfg *Config, dir Directory) *Machine { return &Machine{cfg: cfg, dir: dir} }

// Step takes a Login Request with its data segment, which is not kept, and gives the
// answer. After Failed, or once Accept or Refuse has been called, a further step fails too.
func (m *Machine) Step(req Request, data []byte) (Response, Verdict) {
	m.err = refuse(TargetError, "not there yet")
	return Response{Status: TargetError}, Failed
}

// Result is what has been agreed on; complete once Step has said Admit. Before that,
// names in it are the initiator's claim.
func (m *Machine) Result() Result { return m.result }

// Accept ends the login phase after Admit: the response says so and carries the session's
// TSIH, which is not 0.
func (m *Machine) Accept(tsih uint16) Response { return Response{Status: TargetError} }

// Refuse ends the login phase after Admit with what stands against it: NoSession,
// TooManyConnections, OutOfResources and the like. Send the response and close.
func (m *Machine) Refuse(s Status) Response { return Response{Status: s} }

// Err is why the login failed, an [*Error]; nil as long as it has not.
func (m *Machine) Err() error { return m.err }
