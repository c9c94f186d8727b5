package login

import "fmt"

// Status is a Login Response's Status-Class (high byte) and Status-Detail (low byte);
// RFC 7143, section 11.13.5.
type Status uint16

// The statuses of RFC 7143, section 11.13.5.
const (
	Success            Status = 0x0000
	MovedTemporarily   Status = 0x0101 // the response's text has TargetAddress
	MovedPermanently   Status = 0x0102 // the response's text has TargetAddress
	InitiatorError     Status = 0x0200
	AuthFailure        Status = 0x0201
	NotAuthorized      Status = 0x0202
	NotFound           Status = 0x0203
	TargetRemoved      Status = 0x0204
	UnsupportedVersion Status = 0x0205
	TooManyConnections Status = 0x0206
	MissingParameter   Status = 0x0207
	CannotInclude      Status = 0x0208 // the connection does not fit into that session
	UnsupportedSession Status = 0x0209
	NoSession          Status = 0x020a
	InvalidDuringLogin Status = 0x020b
	TargetError        Status = 0x0300
	ServiceUnavailable Status = 0x0301
	OutOfResources     Status = 0x0302
)

var statusNames = map[Status]string{
	Success:            "success",
	MovedTemporarily:   "target moved temporarily",
	MovedPermanently:   "target moved permanently",
	InitiatorError:     "initiator error",
	AuthFailure:        "authentication failure",
	NotAuthorized:      "authorization failure",
	NotFound:           "target not found",
	TargetRemoved:      "target removed",
	UnsupportedVersion: "unsupported version",
	TooManyConnections: "too many connections",
	MissingParameter:   "missing parameter",
	CannotInclude:      "cannot include in session",
	UnsupportedSession: "session type not supported",
	NoSession:          "session does not exist",
	InvalidDuringLogin: "invalid during login",
	TargetError:        "target error",
	ServiceUnavailable: "service unavailable",
	OutOfResources:     "out of resources",
}

// Class is the Status-Class: 0 success, 1 redirection, 2 initiator error, 3 target error.
func (s Status) Class() uint8 { return uint8(s >> 8) }

// Detail is the Status-Detail.
func (s Status) Detail() uint8 { return uint8(s) }

// String names the status, for logs and as a label of a metric.
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status %04x", uint16(s))
}

// Error is why a login was refused: what the initiator is told, and more for the log.
type Error struct {
	Status Status
	Reason string // what was wrong, without secrets; may quote what the peer sent
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("login: %v (%04x): %s", e.Status, uint16(e.Status), e.Reason)
}

// refuse makes an Error.
func refuse(s Status, format string, args ...any) *Error {
	return &Error{Status: s, Reason: fmt.Sprintf(format, args...)}
}
