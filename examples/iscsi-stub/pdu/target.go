package pdu

import "encoding/binary"

// The PDUs of targets. See those of initiators for Append.

// Numbers is what all PDUs of a target carry (section 4.2.2).
type Numbers struct {
	StatSN   Serial // the status's own number, or the next one's
	ExpCmdSN Serial
	MaxCmdSN Serial
}

// SCSIResponse ends a task (section 11.4).
type SCSIResponse struct {
	Numbers
	ITT          Tag
	Response     Response
	Status       uint8
	Residual     int64 // bytes that the command had more than expected, or, negative, fewer
	BidiResidual int64 // the same of a bidirectional command's data-in
	ExpDataSN    uint32
	SNACKTag     Tag
	Sense        []byte
}

// Append appends the PDU. The data segment is the sense data with its length.
func (p SCSIResponse) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpSCSIResponse, flagFinal)
	h[2], h[3] = byte(p.Response), p.Status
	h.SetITT(p.ITT)
	h.put32(20, uint32(p.SNACKTag))
	h.SetNumbers(p.Numbers)
	h.put32(36, p.ExpDataSN)
	h.setResidual(p.BidiResidual, flagBidiOverflow, flagBidiUnderflow, 40)
	h.setResidual(p.Residual, flagOverflow, flagUnderflow, 44)
	return f.endSense(dst, from, h, p.Sense)
}

// endSense completes a PDU whose data segment is sense data (section 11.4.7.1).
func (f Format) endSense(dst []byte, from int, h Header, sense []byte) []byte {
	if len(sense) == 0 {
		return f.sealHeader(dst, from)
	}
	h.SetDataLength(2 + len(sense))
	dst = binary.BigEndian.AppendUint16(f.sealHeader(dst, from), uint16(len(sense)))
	return f.AppendTrailer(append(dst, sense...), 2+len(sense))
}

// Sense is the sense data in the data segment of a SCSI Response or of an async
// message, a piece of it, or nil.
func Sense(data []byte) []byte {
	if len(data) < 2 {
		return nil
	}
	n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
	return data[2 : 2+n : 2+n]
}

// DataIn is data of a task, and perhaps its good end (section 11.7).
type DataIn struct {
	Numbers     // StatSN only if HasStatus
	Final       bool
	Acknowledge bool
	HasStatus   bool  // the PDU is the task's response too; Final
	Status      uint8 // if HasStatus
	Residual    int64 // if HasStatus: see SCSIResponse
	LUN         [8]byte
	ITT         Tag
	TTT         Tag // NoTag unless Acknowledge
	DataSN      uint32
	Offset      uint32
	Data        []byte
}

// Append appends the PDU.
func (p DataIn) Append(dst []byte, f Format) []byte {
	return f.AppendData(p.AppendHeader(dst, f, len(p.Data)), p.Data)
}

// AppendHeader appends the header of a PDU with n bytes of data, whatever Data
// is. For data that is read straight into the buffer: it goes behind the header,
// and then Format.AppendTrailer ends the PDU.
func (p DataIn) AppendHeader(dst []byte, f Format, n int) []byte {
	from := len(dst)
	dst, h := begin(dst, OpDataIn, bit(p.Final, flagFinal)|bit(p.Acknowledge, flagAck))
	if p.HasStatus {
		h[1] |= flagStatus
		h[3] = p.Status
		h.setResidual(p.Residual, flagOverflow, flagUnderflow, 44)
	}
	h.SetDataLength(n)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetNumbers(p.Numbers)
	h.put32(36, p.DataSN)
	h.put32(40, p.Offset)
	return f.sealHeader(dst, from)
}

// R2T asks for data (section 11.8).
type R2T struct {
	Numbers // the StatSN of the next status, which it does not take up
	LUN     [8]byte
	ITT     Tag
	TTT     Tag
	R2TSN   uint32
	Offset  uint32
	Desired uint32 // bytes
}

// Append appends the PDU.
func (p R2T) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpR2T, flagFinal)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetNumbers(p.Numbers)
	h.put32(36, p.R2TSN)
	h.put32(40, p.Offset)
	h.put32(44, p.Desired)
	return f.sealHeader(dst, from)
}

// TaskResponse answers a TaskRequest (section 11.6).
type TaskResponse struct {
	Numbers
	Result TaskResult
	ITT    Tag
}

// Append appends the PDU.
func (p TaskResponse) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpTaskResponse, flagFinal)
	h[2] = byte(p.Result)
	h.SetITT(p.ITT)
	h.SetNumbers(p.Numbers)
	return f.sealHeader(dst, from)
}

// LoginResponse answers a LoginRequest (section 11.13).
type LoginResponse struct {
	Numbers
	Transit       bool
	Continue      bool
	CSG, NSG      Stage
	VersionMax    uint8
	VersionActive uint8
	ISID          [6]byte
	TSIH          uint16
	ITT           Tag
	Status        LoginStatus
	Data          []byte
}

// Append appends the PDU. There are no digests in the login phase: f is
// Format{}.
func (p LoginResponse) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpLoginResponse, loginFlags(p.Transit, p.Continue, p.CSG, p.NSG))
	h[2], h[3] = p.VersionMax, p.VersionActive
	copy(h[8:], p.ISID[:])
	h.put16(14, p.TSIH)
	h.SetITT(p.ITT)
	h.SetNumbers(p.Numbers)
	h.put16(36, uint16(p.Status))
	return f.end(dst, from, p.Data)
}

// TextResponse answers a TextRequest (section 11.11).
type TextResponse struct {
	Numbers
	Final    bool
	Continue bool
	LUN      [8]byte
	ITT      Tag
	TTT      Tag // NoTag if Final
	Data     []byte
}

// Append appends the PDU.
func (p TextResponse) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpTextResponse, bit(p.Final, flagFinal)|bit(p.Continue, flagContinue))
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetNumbers(p.Numbers)
	return f.end(dst, from, p.Data)
}

// LogoutResponse answers a LogoutRequest (section 11.15).
type LogoutResponse struct {
	Numbers
	Result      LogoutResult
	ITT         Tag
	Time2Wait   uint16 // seconds
	Time2Retain uint16 // seconds
}

// Append appends the PDU.
func (p LogoutResponse) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpLogoutResponse, flagFinal)
	h[2] = byte(p.Result)
	h.SetITT(p.ITT)
	h.SetNumbers(p.Numbers)
	h.put16(40, p.Time2Wait)
	h.put16(42, p.Time2Retain)
	return f.sealHeader(dst, from)
}

// NOPIn is a ping, or the answer to one (section 11.19).
type NOPIn struct {
	Numbers
	LUN  [8]byte // with a TTT: to be returned with it
	ITT  Tag     // that of the NOP-Out that is answered, or NoTag
	TTT  Tag     // NoTag: no answer wanted
	Data []byte
}

// Append appends the PDU.
func (p NOPIn) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpNOPIn, flagFinal)
	h.putLUN(p.LUN)
	h.SetITT(p.ITT)
	h.SetTTT(p.TTT)
	h.SetNumbers(p.Numbers)
	return f.end(dst, from, p.Data)
}

// Async tells of an event (section 11.9).
type Async struct {
	Numbers
	LUN        [8]byte
	Event      AsyncEvent
	VCode      uint8
	Parameter1 uint16
	Parameter2 uint16
	Parameter3 uint16
	Sense      []byte // if Event is SCSIEvent
}

// Append appends the PDU.
func (p Async) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpAsync, flagFinal)
	h.putLUN(p.LUN)
	h.SetITT(NoTag)
	h.SetNumbers(p.Numbers)
	h[36], h[37] = byte(p.Event), p.VCode
	h.put16(38, p.Parameter1)
	h.put16(40, p.Parameter2)
	h.put16(42, p.Parameter3)
	return f.endSense(dst, from, h, p.Sense)
}

// Reject answers a PDU that is wrong (section 11.17).
type Reject struct {
	Numbers
	Reason RejectReason
	DataSN uint32 // the next one, of a SNACK that is rejected
	Header Header // of the PDU that is wrong
}

// Append appends the PDU. The data segment is the wrong header, without its
// additional segments.
func (p Reject) Append(dst []byte, f Format) []byte {
	from := len(dst)
	dst, h := begin(dst, OpReject, flagFinal)
	h[2] = byte(p.Reason)
	h.SetITT(NoTag)
	h.SetNumbers(p.Numbers)
	h.put32(36, p.DataSN)
	return f.end(dst, from, p.Header[:HeaderSize])
}
