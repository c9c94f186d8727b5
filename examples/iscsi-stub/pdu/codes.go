package pdu

import "fmt"

// Opcode is the kind of a PDU (RFC 7143, section 11.2.1.2).
type Opcode uint8

// The opcodes: below 0x20 those of initiators, from 0x20 on those of targets.
const (
	OpNOPOut         Opcode = 0x00
	OpSCSICommand    Opcode = 0x01
	OpTaskRequest    Opcode = 0x02
	OpLoginRequest   Opcode = 0x03
	OpTextRequest    Opcode = 0x04
	OpDataOut        Opcode = 0x05
	OpLogoutRequest  Opcode = 0x06
	OpSNACK          Opcode = 0x10
	OpNOPIn          Opcode = 0x20
	OpSCSIResponse   Opcode = 0x21
	OpTaskResponse   Opcode = 0x22
	OpLoginResponse  Opcode = 0x23
	OpTextResponse   Opcode = 0x24
	OpDataIn         Opcode = 0x25
	OpLogoutResponse Opcode = 0x26
	OpR2T            Opcode = 0x31
	OpAsync          Opcode = 0x32
	OpReject         Opcode = 0x3f
)

// String is the PDU's name in RFC 7143.
func (o Opcode) String() string {
	switch o {
	case OpNOPOut:
		return "NOP-Out"
	case OpSCSICommand:
		return "SCSI Command"
	case OpTaskRequest:
		return "Task Management Function Request"
	case OpLoginRequest:
		return "Login Request"
	case OpTextRequest:
		return "Text Request"
	case OpDataOut:
		return "SCSI Data-Out"
	case OpLogoutRequest:
		return "Logout Request"
	case OpSNACK:
		return "SNACK Request"
	case OpNOPIn:
		return "NOP-In"
	case OpSCSIResponse:
		return "SCSI Response"
	case OpTaskResponse:
		return "Task Management Function Response"
	case OpLoginResponse:
		return "Login Response"
	case OpTextResponse:
		return "Text Response"
	case OpDataIn:
		return "SCSI Data-In"
	case OpLogoutResponse:
		return "Logout Response"
	case OpR2T:
		return "R2T"
	case OpAsync:
		return "Asynchronous Message"
	case OpReject:
		return "Reject"
	}
	return fmt.Sprintf("opcode %#02x", uint8(o))
}

// Attribute is a SCSI Command's task attribute (section 11.3.1).
type Attribute uint8

// The task attributes.
const (
	Untagged Attribute = iota
	Simple
	Ordered
	HeadOfQueue
	ACA
)

// Response is the service response of a SCSI Response (section 11.4.3).
type Response uint8

// The service responses.
const (
	Completed     Response = 0x00 // command completed at target: there is a status
	TargetFailure Response = 0x01
)

// TaskFunction is what a task management request asks for (section 11.5.1).
type TaskFunction uint8

// The task management functions.
const (
	AbortTask        TaskFunction = 1
	AbortTaskSet     TaskFunction = 2
	ClearACA         TaskFunction = 3
	ClearTaskSet     TaskFunction = 4
	LogicalUnitReset TaskFunction = 5
	TargetWarmReset  TaskFunction = 6
	TargetColdReset  TaskFunction = 7
	TaskReassign     TaskFunction = 8
)

// TaskResult is the answer to a task management request (section 11.6.1).
type TaskResult uint8

// The answers to task management requests.
const (
	FunctionComplete         TaskResult = 0
	TaskDoesNotExist         TaskResult = 1
	LUNDoesNotExist          TaskResult = 2
	TaskStillAllegiant       TaskResult = 3
	ReassignmentNotSupported TaskResult = 4
	FunctionNotSupported     TaskResult = 5
	FunctionAuthFailed       TaskResult = 6
	FunctionRejected         TaskResult = 255
)

// AsyncEvent is what an asynchronous message is about (section 11.9.1).
type AsyncEvent uint8

// The asynchronous events.
const (
	SCSIEvent           AsyncEvent = 0   // sense data in the data segment
	LogoutRequested     AsyncEvent = 1   // Parameter3: seconds to log out within
	ConnectionDropped   AsyncEvent = 2   // Parameter1: CID, 2: Time2Wait, 3: Time2Retain
	SessionDropped      AsyncEvent = 3   // Parameter2: Time2Wait, 3: Time2Retain
	NegotiationRequest  AsyncEvent = 4   // Parameter3: seconds to start a text negotiation within
	TasksTerminated     AsyncEvent = 5   // those of the LUN: to be answered with a NOP-Out
	VendorSpecificEvent AsyncEvent = 255 // VCode
)

// Stage is a stage of the login phase (section 11.12.3).
type Stage uint8

// The stages; 2 is reserved.
const (
	SecurityNegotiation    Stage = 0
	OperationalNegotiation Stage = 1
	FullFeaturePhase       Stage = 3
)

// LoginStatus is the outcome of a login request: the class in the upper byte,
// the detail in the lower (section 11.13.5).
type LoginStatus uint16

// The login statuses.
const (
	LoginSuccess            LoginStatus = 0x0000
	TargetMovedTemporarily  LoginStatus = 0x0101
	TargetMovedPermanently  LoginStatus = 0x0102
	InitiatorError          LoginStatus = 0x0200
	AuthenticationFailure   LoginStatus = 0x0201
	AuthorizationFailure    LoginStatus = 0x0202
	TargetNotFound          LoginStatus = 0x0203
	TargetRemoved           LoginStatus = 0x0204
	UnsupportedVersion      LoginStatus = 0x0205
	TooManyConnections      LoginStatus = 0x0206
	MissingParameter        LoginStatus = 0x0207
	CannotIncludeInSession  LoginStatus = 0x0208
	SessionTypeNotSupported LoginStatus = 0x0209
	SessionDoesNotExist     LoginStatus = 0x020a
	InvalidDuringLogin      LoginStatus = 0x020b
	TargetError             LoginStatus = 0x0300
	ServiceUnavailable      LoginStatus = 0x0301
	OutOfResources          LoginStatus = 0x0302
)

// Class is the status class: 0 success, 1 redirection, 2 initiator error,
// 3 target error.
func (s LoginStatus) Class() uint8 { return uint8(s >> 8) }

// String says what the status means.
func (s LoginStatus) String() string {
	switch s {
	case LoginSuccess:
		return "success"
	case TargetMovedTemporarily:
		return "target moved temporarily"
	case TargetMovedPermanently:
		return "target moved permanently"
	case InitiatorError:
		return "initiator error"
	case AuthenticationFailure:
		return "authentication failure"
	case AuthorizationFailure:
		return "authorization failure"
	case TargetNotFound:
		return "target not found"
	case TargetRemoved:
		return "target removed"
	case UnsupportedVersion:
		return "unsupported version"
	case TooManyConnections:
		return "too many connections"
	case MissingParameter:
		return "missing parameter"
	case CannotIncludeInSession:
		return "cannot include in session"
	case SessionTypeNotSupported:
		return "session type not supported"
	case SessionDoesNotExist:
		return "session does not exist"
	case InvalidDuringLogin:
		return "invalid request during login"
	case TargetError:
		return "target error"
	case ServiceUnavailable:
		return "service unavailable"
	case OutOfResources:
		return "out of resources"
	}
	return fmt.Sprintf("login status %#04x", uint16(s))
}

// LogoutReason is what a logout request is for (section 11.14.1).
type LogoutReason uint8

// The reasons for a logout.
const (
	CloseSession      LogoutReason = 0
	CloseConnection   LogoutReason = 1
	RecoverConnection LogoutReason = 2 // remove the connection, its tasks are to be reassigned
)

// LogoutResult is the answer to a logout request (section 11.15.1).
type LogoutResult uint8

// The answers to logout requests.
const (
	LoggedOut            LogoutResult = 0
	CIDNotFound          LogoutResult = 1
	RecoveryNotSupported LogoutResult = 2
	CleanupFailed        LogoutResult = 3
)

// SNACKType is what a SNACK asks for (section 11.16.1).
type SNACKType uint8

// The SNACK types.
const (
	SNACKData    SNACKType = 0 // Data-In or R2T PDUs again
	SNACKStatus  SNACKType = 1 // numbered responses again
	SNACKDataACK SNACKType = 2 // Data-In PDUs have come
	SNACKRData   SNACKType = 3 // Data-In PDUs again, perhaps cut otherwise
)

// RejectReason is why a PDU is rejected (section 11.17.1).
type RejectReason uint8

// The reasons for a reject.
const (
	RejectDataDigest       RejectReason = 0x02
	RejectSNACK            RejectReason = 0x03
	RejectProtocolError    RejectReason = 0x04
	RejectNotSupported     RejectReason = 0x05
	RejectImmediate        RejectReason = 0x06 // too many immediate commands
	RejectTaskInProgress   RejectReason = 0x07
	RejectInvalidDataACK   RejectReason = 0x08
	RejectInvalidField     RejectReason = 0x09
	RejectLongOperation    RejectReason = 0x0a // can't generate TTT: out of resources
	RejectNegotiationReset RejectReason = 0x0b
	RejectWaitingForLogout RejectReason = 0x0c
)

// String says why, in words that also do as a metric's label.
func (r RejectReason) String() string {
	switch r {
	case RejectDataDigest:
		return "data digest error"
	case RejectSNACK:
		return "SNACK reject"
	case RejectProtocolError:
		return "protocol error"
	case RejectNotSupported:
		return "command not supported"
	case RejectImmediate:
		return "too many immediate commands"
	case RejectTaskInProgress:
		return "task in progress"
	case RejectInvalidDataACK:
		return "invalid data ACK"
	case RejectInvalidField:
		return "invalid PDU field"
	case RejectLongOperation:
		return "out of resources"
	case RejectNegotiationReset:
		return "negotiation reset"
	case RejectWaitingForLogout:
		return "waiting for logout"
	}
	return fmt.Sprintf("reason %#02x", uint8(r))
}
