package pdu

import "encoding/binary"

// Sizes, in bytes.
const (
	HeaderSize   = 48        // a basic header segment
	MaxAHS       = 255 * 4   // all additional header segments
	MaxData      = 1<<24 - 1 // a data segment
	DigestSize   = 4
	MaxTrailer   = 3 + DigestSize // padding and digest after a data segment
	DefaultLimit = 8192           // MaxRecvDataSegmentLength until it is negotiated (section 13.12)
)

// Tag names a task (ITT) or a part of one (TTT, SNACK tag).
type Tag uint32

// NoTag is the reserved value that is no tag.
const NoTag Tag = 0xffffffff

// The bits of byte 1. What they mean depends on the opcode.
const (
	flagFinal    = 0x80 // F, and T of logins
	flagContinue = 0x40 // C of login and text
	flagRead     = 0x40 // R of SCSI Command
	flagAck      = 0x40 // A of Data-In
	flagWrite    = 0x20 // W of SCSI Command

	flagStatus        = 0x01 // S of Data-In
	flagUnderflow     = 0x02 // U
	flagOverflow      = 0x04 // O
	flagBidiUnderflow = 0x08 // u
	flagBidiOverflow  = 0x10 // o

	immediate = 0x40 // I, in byte 0
	opcode    = 0x3f // and the opcode there
)

// Header is the header segments of a PDU, 48 bytes and the additional ones, in
// the memory that they were received in. Each method reads a field; those of a
// field that not all PDUs have name the ones that do. Of others they return
// whatever is in that place.
//
// A Header may be changed with the Set methods, or as the bytes that it is.
type Header []byte

func (h Header) u16(at int) uint16 { return binary.BigEndian.Uint16(h[at:]) }
func (h Header) u32(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }

// Fields of all PDUs (section 11.2.1).

// Opcode is the kind of PDU.
func (h Header) Opcode() Opcode { return Opcode(h[0] & opcode) }

// Immediate is the I bit: deliver at once, out of the order of CmdSN. Requests.
func (h Header) Immediate() bool { return h[0]&immediate != 0 }

// Final is the F bit: the last, or only, PDU of a sequence.
func (h Header) Final() bool { return h[1]&flagFinal != 0 }

// AHSLength is the length of all additional header segments in bytes, a
// multiple of 4.
func (h Header) AHSLength() int { return int(h[4]) * 4 }

// DataLength is the length of the data segment in bytes, without padding.
func (h Header) DataLength() int { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }

// LUN is the logical unit, as in SAM-5, 4.7. NOP-Out, NOP-In, SCSI Command, task
// management request, Text, Data-Out, Data-In, SNACK, R2T, async message.
func (h Header) LUN() [8]byte { return [8]byte(h[8:16]) }

// ITT is the initiator task tag.
func (h Header) ITT() Tag { return Tag(h.u32(16)) }

// TTT is the target transfer tag. NOP-Out, NOP-In, Text, Data-Out, Data-In, R2T,
// SNACK.
func (h Header) TTT() Tag { return Tag(h.u32(20)) }

// CmdSN is the request's place in the session's order. All requests but Data-Out
// and SNACK.
func (h Header) CmdSN() Serial { return Serial(h.u32(24)) }

// ExpStatSN acknowledges the statuses before it. All requests.
func (h Header) ExpStatSN() Serial { return Serial(h.u32(28)) }

// StatSN is the status's place in the connection's order. All that targets send;
// of Data-In only if HasStatus.
func (h Header) StatSN() Serial { return Serial(h.u32(24)) }

// ExpCmdSN acknowledges the requests before it. All that targets send.
func (h Header) ExpCmdSN() Serial { return Serial(h.u32(28)) }

// MaxCmdSN is the last CmdSN that may be sent. All that targets send.
func (h Header) MaxCmdSN() Serial { return Serial(h.u32(32)) }

// SCSI Command (section 11.3).

// Read is the R bit: data-in is expected. SCSI Command.
func (h Header) Read() bool { return h[1]&flagRead != 0 }

// Write is the W bit: data-out is expected. SCSI Command.
func (h Header) Write() bool { return h[1]&flagWrite != 0 }

// Attribute is the task attribute; 5 to 7 are reserved. SCSI Command.
func (h Header) Attribute() Attribute { return Attribute(h[1] & 7) }

// ExpectedLength is the expected data transfer length in bytes: of data-out if
// there is any, else of data-in. SCSI Command.
func (h Header) ExpectedLength() uint32 { return h.u32(20) }

// CDB is the first 16 bytes of the command descriptor block; ExtendedCDB may
// have more. SCSI Command.
func (h Header) CDB() []byte { return h[32:48:48] }

// Data, R2T and SCSI Response (sections 11.4, 11.7, 11.8).

// DataSN counts the data PDUs of a sequence, from 0. Data-Out, Data-In; in a
// Reject the next one, if it rejects a SNACK.
func (h Header) DataSN() uint32 { return h.u32(36) }

// R2TSN counts the R2Ts of a task, from 0. R2T.
func (h Header) R2TSN() uint32 { return h.u32(36) }

// BufferOffset is where the data belongs, in bytes. Data-Out, Data-In, R2T.
func (h Header) BufferOffset() uint32 { return h.u32(40) }

// DesiredLength is how much data is asked for, in bytes. R2T.
func (h Header) DesiredLength() uint32 { return h.u32(44) }

// ExpDataSN is how many Data-In PDUs and R2Ts the task has had. SCSI Response;
// in a task management request for TASK REASSIGN, the next one expected.
func (h Header) ExpDataSN() uint32 { return h.u32(36) }

// Acknowledge is the A bit: a SNACK of type DataACK is asked for. Data-In.
func (h Header) Acknowledge() bool { return h[1]&flagAck != 0 }

// HasStatus is the S bit: the PDU is the task's response as well. Data-In.
func (h Header) HasStatus() bool { return h[1]&flagStatus != 0 }

// Response is the service response. SCSI Response.
func (h Header) Response() Response { return Response(h[2]) }

// Status is the SCSI status (SAM-5, 5.3). SCSI Response; Data-In if HasStatus.
func (h Header) Status() uint8 { return h[3] }

// Residual is how many bytes the command had more than were expected, or, as a
// negative number, fewer. SCSI Response; Data-In if HasStatus.
func (h Header) Residual() int64 { return residual(h[1], flagOverflow, flagUnderflow, h.u32(44)) }

// BidiResidual is the Residual of the data-in of a bidirectional command. SCSI
// Response.
func (h Header) BidiResidual() int64 {
	return residual(h[1], flagBidiOverflow, flagBidiUnderflow, h.u32(40))
}

func residual(flags, over, under byte, n uint32) int64 {
	switch flags & (over | under) {
	case over:
		return int64(n)
	case under:
		return -int64(n)
	}
	return 0
}

// Task management (sections 11.5, 11.6).

// TaskFunction is what is asked for. Task management request.
func (h Header) TaskFunction() TaskFunction { return TaskFunction(h[1] & 0x7f) }

// ReferencedTag is the ITT of the task to abort or reassign. Task management
// request.
func (h Header) ReferencedTag() Tag { return Tag(h.u32(20)) }

// RefCmdSN is the CmdSN of the task to abort. Task management request.
func (h Header) RefCmdSN() Serial { return Serial(h.u32(32)) }

// TaskResult is the answer. Task management response.
func (h Header) TaskResult() TaskResult { return TaskResult(h[2]) }

// Login and text (sections 11.10 to 11.13).

// Transit is the T bit: ready to go to stage NSG. Login.
func (h Header) Transit() bool { return h.Final() }

// Continue is the C bit: the text goes on in the next PDU. Login, Text.
func (h Header) Continue() bool { return h[1]&flagContinue != 0 }

// CSG is the current stage. Login.
func (h Header) CSG() Stage { return Stage(h[1] >> 2 & 3) }

// NSG is the next stage, if Transit. Login.
func (h Header) NSG() Stage { return Stage(h[1] & 3) }

// VersionMax is the highest version that is supported. Login.
func (h Header) VersionMax() uint8 { return h[2] }

// VersionMin is the lowest version that is supported. Login request.
func (h Header) VersionMin() uint8 { return h[3] }

// VersionActive is the version that is used. Login response.
func (h Header) VersionActive() uint8 { return h[3] }

// ISID is the initiator's part of the session's name. Login.
func (h Header) ISID() [6]byte { return [6]byte(h[8:14]) }

// TSIH is the target's name for the session, 0 for a new one. Login.
func (h Header) TSIH() uint16 { return h.u16(14) }

// CID is the initiator's name for the connection. Login request, Logout request.
func (h Header) CID() uint16 { return h.u16(20) }

// LoginStatus is the outcome. Login response.
func (h Header) LoginStatus() LoginStatus { return LoginStatus(h.u16(36)) }

// Logout (sections 11.14, 11.15).

// LogoutReason is what for. Logout request.
func (h Header) LogoutReason() LogoutReason { return LogoutReason(h[1] & 0x7f) }

// LogoutResult is the answer. Logout response.
func (h Header) LogoutResult() LogoutResult { return LogoutResult(h[2]) }

// Time2Wait is when the initiator may come back, in seconds. Logout response.
func (h Header) Time2Wait() uint16 { return h.u16(40) }

// Time2Retain is how long tasks are kept after that, in seconds. Logout response.
func (h Header) Time2Retain() uint16 { return h.u16(42) }

// SNACK, async message, Reject (sections 11.16, 11.9, 11.17).

// SNACKType is what is asked for. SNACK.
func (h Header) SNACKType() SNACKType { return SNACKType(h[1] & 0x0f) }

// BegRun is the first number that is missing. SNACK.
func (h Header) BegRun() uint32 { return h.u32(40) }

// RunLength is how many are missing; 0: all from BegRun on. SNACK.
func (h Header) RunLength() uint32 { return h.u32(44) }

// SNACKTag is the tag of an R-Data SNACK that the answer shows. SNACK, SCSI
// Response.
func (h Header) SNACKTag() Tag { return Tag(h.u32(20)) }

// AsyncEvent is what happened. Async message.
func (h Header) AsyncEvent() AsyncEvent { return AsyncEvent(h[36]) }

// AsyncVCode is a vendor's code. Async message.
func (h Header) AsyncVCode() uint8 { return h[37] }

// Parameters are the event's: see AsyncEvent. Async message.
func (h Header) Parameters() (p1, p2, p3 uint16) { return h.u16(38), h.u16(40), h.u16(42) }

// RejectReason is why. Reject.
func (h Header) RejectReason() RejectReason { return RejectReason(h[2]) }
