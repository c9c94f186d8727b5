// Package pdu reads and writes the protocol data units of iSCSI (RFC 7143,
// section 11), and knows nothing of what they are for.
//
//	┌ basic header segment, 48 bytes ┬ additional header segments ┬ digest ┐
//	├ data segment ┬ padding to 4 bytes ┬ digest ──────────────────────────┘
//
// A received PDU is looked at in place: a [Header] is the bytes of its header
// segments, with a method for each field. A PDU to be sent is a struct that is
// appended to a buffer:
//
//	b = pdu.R2T{LUN: h.LUN(), ITT: h.ITT(), TTT: ttt, Desired: 8192}.Append(b, format)
//
// A [Format] says which digests a connection has. It makes the
// framing.HeaderBody that cuts a stream into PDUs, and checks what came.
//
// Nothing here allocates, but for the growing of the caller's buffers.
//
// # What is checked
//
// A header digest is checked before any length is believed, and one that does
// not match ends the stream ([ErrHeaderDigest]). A data digest is checked when
// the receiver asks for the data ([Format.Data]), since the connection survives
// a bad one ([ErrDataDigest]; RFC 7143, section 7.8). Reserved fields are not
// looked at, as section 11.1 wants it; they are sent as zeros.
package pdu
