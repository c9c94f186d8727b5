package initiator

import (
	"errors"
	"fmt"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// What a call may end with.
var (
	// ErrClosed is a session that has been logged out or closed.
	ErrClosed = errors.New("session closed")
	// ErrConnection is a connection that the session does not have.
	ErrConnection = errors.New("no such connection")
	// ErrAuthentication is a target that does not prove who it is.
	ErrAuthentication = errors.New("target failed to authenticate")
)

// LoginError is a target's refusal of a login.
type LoginError struct {
	Status pdu.LoginStatus
	// Address is where the target has gone, if Status says that it has moved.
	Address string
}

// Error says why.
func (e *LoginError) Error() string {
	if e.Address != "" {
		return fmt.Sprintf("login: %v to %s", e.Status, e.Address)
	}
	return fmt.Sprintf("login: %v", e.Status)
}

// ProtocolError is a rule of RFC 7143 that the target broke.
type ProtocolError struct {
	Opcode pdu.Opcode // of the PDU that broke it
	Reason string
}

// Error says which.
func (e *ProtocolError) Error() string { return fmt.Sprintf("%v: %s", e.Opcode, e.Reason) }

func violation(p PDU, format string, args ...any) error {
	return &ProtocolError{Opcode: p.Opcode(), Reason: fmt.Sprintf(format, args...)}
}

// RejectError is a Reject PDU in answer to a request.
type RejectError struct {
	Reason pdu.RejectReason
	Header pdu.Header // of the request
}

// Error says why.
func (e *RejectError) Error() string {
	return fmt.Sprintf("%v rejected: %v", e.Header.Opcode(), e.Reason)
}

// StatusError is a SCSI command that did not end well.
type StatusError struct {
	Opcode uint8 // the CDB's first byte
	Status uint8
	Sense  Sense
}

// Error says how it ended.
func (e *StatusError) Error() string {
	if e.Status != CheckCondition {
		return fmt.Sprintf("SCSI command %02x: status %02x", e.Opcode, e.Status)
	}
	return fmt.Sprintf("SCSI command %02x: %v", e.Opcode, e.Sense)
}
