package pdu

import "encoding/binary"

// The PDUs of initiators. Append appends one, with its data segment and the
// digests that the format has, and returns the longer slice. The data may be
// MaxData bytes long at most. Methods with a value receiver, they may be called
// by any goroutine.

// SCSICommand starts a task (section 11.3).
type SCSICommand struct {
	Immediate   bool
	Final       bool // no unsolicited Data-Out follows
	Read, Write bool
	Attribute   Attribute
	LUN         [8]byte
	ITT         Tag
	Expected    uint32 // expected data transfer length, in bytes
	CmdSN       Serial
	ExpStatSN   Serial
	CDB         []byte // more than 16 bytes go into an additional header segment
	BidiRead    uint32 // if Read and Write: the expected length of data-in, in bytes
	Data        []byte // immediate data
}

// Append appends the PDU.
func (p SCSICommand) Append(dst []byte, f Format) []byte {
	from := len(dst)
	flags := bit(p.Final, flagFinal) | bit(p.Read, flagRead) | bit(p.Write, flagWrite) | byte(p.Attribute&7)
	dst, h := begin(dst, OpSCSICommand, flags)
	h.SetImmediate(p.Immediate)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.put32(20, p.Expected)
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	copy(h[32:48], p.CDB)
	if len(p.CDB) > 16 {
		dst = appendAHS(dst, AHSExtendedCDB, p.CDB[16:]...)
	}
	if p.Read && p.Write {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], p.BidiRead)
		dst = appendAHS(dst, AHSBidiReadLength, n[:]...)
	}
	dst[from+4] = byte((len(dst) - from - HeaderSize) / 4)
	return f.end(dst, from, p.Data)
}

// end completes the PDU whose header, but for the data's length, starts at from.
func (f Format) end(dst []byte, from int, data []byte) []byte {
	Header(dst[from:]).SetDataLength(len(data))
	return f.AppendData(f.sealHeader(dst, from), data)
}

// DataOut is data for a task (section 11.7).
type DataOut struct {
	Final     bool
	LUN       [8]byte // that of the R2T, if there is one
	ITT       Tag
	TTT       Tag // that of the R2T, or NoTag if it is unsolicited
	ExpStatSN Serial
	DataSN    uint32
	Offset    uint32
	Data      []byte
}

// Append appends the PDU.
func (p DataOut) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpDataOut, bit(p.Final, flagFinal))
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetExpStatSN(p.ExpStatSN)
	h.put32(36, p.DataSN)
	h.put32(40, p.Offset)
	return f.end(dst, from, p.Data)
}

// TaskRequest is a task management function request (section 11.5).
type TaskRequest struct {
	Immediate     bool
	Function      TaskFunction
	LUN           [8]byte
	ITT           Tag
	ReferencedTag Tag // the task; NoTag if the function is not about one
	CmdSN         Serial
	ExpStatSN     Serial
	RefCmdSN      Serial
	ExpDataSN     uint32 // TaskReassign
}

// Append appends the PDU.
func (p TaskRequest) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpTaskRequest, flagFinal|byte(p.Function&0x7f))
	h.SetImmediate(p.Immediate)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.put32(20, uint32(p.ReferencedTag))
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	h.put32(32, uint32(p.RefCmdSN))
	h.put32(36, p.ExpDataSN)
	return f.end(dst, from, nil)
}

// LoginRequest is a step of the login phase (section 11.12). It is immediate.
type LoginRequest struct {
	Transit    bool
	Continue   bool
	CSG, NSG   Stage
	VersionMax uint8
	VersionMin uint8
	ISID       [6]byte
	TSIH       uint16
	ITT        Tag
	CID        uint16
	CmdSN      Serial
	ExpStatSN  Serial
	Data       []byte // text keys
}

// Append appends the PDU. There are no digests in the login phase: f is
// Format{}.
func (p LoginRequest) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpLoginRequest, loginFlags(p.Transit, p.Continue, p.CSG, p.NSG))
	h.SetImmediate(true)
	h[2], h[3] = p.VersionMax, p.VersionMin
	copy(h[8:], p.ISID[:])
	h.put16(14, p.TSIH)
	h.SetITT(p.ITT)
	h.put16(20, p.CID)
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	return f.end(dst, from, p.Data)
}

func loginFlags(transit, more bool, csg, nsg Stage) byte {
	return bit(transit, flagFinal) | bit(more, flagContinue) | byte(csg&3)<<2 | byte(nsg&3)
}

// TextRequest is text keys in the full feature phase (section 11.10).
type TextRequest struct {
	Immediate bool
	Final     bool
	Continue  bool
	LUN       [8]byte
	ITT       Tag
	TTT       Tag // NoTag in the first of a negotiation
	CmdSN     Serial
	ExpStatSN Serial
	Data      []byte
}

// Append appends the PDU.
func (p TextRequest) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpTextRequest, bit(p.Final, flagFinal)|bit(p.Continue, flagContinue))
	h.SetImmediate(p.Immediate)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	return f.end(dst, from, p.Data)
}

// LogoutRequest ends a connection or the session (section 11.14).
type LogoutRequest struct {
	Immediate bool
	Reason    LogoutReason
	ITT       Tag
	CID       uint16 // unless Reason is CloseSession
	CmdSN     Serial
	ExpStatSN Serial
}

// Append appends the PDU.
func (p LogoutRequest) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpLogoutRequest, flagFinal|byte(p.Reason&0x7f))
	h.SetImmediate(p.Immediate)
	h.SetITT(p.ITT)
	h.put16(20, p.CID)
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	return f.end(dst, from, nil)
}

// SNACK asks for PDUs again, or acknowledges data (section 11.16).
type SNACK struct {
	Type      SNACKType
	LUN       [8]byte // SNACKDataACK: that of the Data-In
	ITT       Tag     // NoTag for statuses and DataACK
	TTT       Tag     // SNACKDataACK: that of the Data-In; SNACKRData: the SNACK tag; else NoTag
	ExpStatSN Serial
	BegRun    uint32
	RunLength uint32
}

// Append appends the PDU.
func (p SNACK) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpSNACK, flagFinal|byte(p.Type&0x0f))
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetExpStatSN(p.ExpStatSN)
	h.put32(40, p.BegRun)
	h.put32(44, p.RunLength)
	return f.end(dst, from, nil)
}

// NOPOut is a ping, or the answer to one (section 11.18).
type NOPOut struct {
	Immediate bool
	LUN       [8]byte
	ITT       Tag // NoTag: no answer wanted
	TTT       Tag // that of the NOP-In that is answered, or NoTag
	CmdSN     Serial
	ExpStatSN Serial
	Data      []byte // to be returned
}

// Append appends the PDU.
func (p NOPOut) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpNOPOut, flagFinal)
	h.SetImmediate(p.Immediate)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetCmdSN(p.CmdSN)
	h.SetExpStatSN(p.ExpStatSN)
	return f.end(dst, from, p.Data)
}
