package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/nsreactor/nsreactor/handlers/framing"
)

// What can be wrong with a PDU's bytes.
var (
	// ErrHeaderDigest is a header that is not what was sent. Where the next PDU
	// starts is not known then: the connection is lost (section 7.8).
	ErrHeaderDigest = errors.New("header digest error")
	// ErrDataDigest is a data segment that is not what was sent. The header is
	// sound: the PDU can be rejected, or asked for again.
	ErrDataDigest = errors.New("data digest error")
	// ErrDataTooLong is a data segment that is longer than the receiver's
	// MaxRecvDataSegmentLength.
	ErrDataTooLong = errors.New("data segment too long")
)

// DigestError is a digest that does not match. errors.Is sees Err.
type DigestError struct {
	Err       error // ErrHeaderDigest or ErrDataDigest
	Opcode    Opcode
	Got, Want uint32 // what came, and what the bytes have
}

// Error says which digest, and how it is off.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: %v is %08x, not %08x", e.Opcode, e.Err, e.Got, e.Want)
}

// Unwrap is Err.
func (e *DigestError) Unwrap() error { return e.Err }

// Kind is a word for what is wrong: "header_digest" or "data_digest".
func (e *DigestError) Kind() string {
	if errors.Is(e.Err, ErrHeaderDigest) {
		return "header_digest"
	}
	return "data_digest"
}

// LengthError is an ErrDataTooLong.
type LengthError struct {
	Opcode        Opcode
	Length, Limit int // bytes
}

// Error says how long it is.
func (e *LengthError) Error() string {
	return fmt.Sprintf("%s: %v: %d bytes, over %d", e.Opcode, ErrDataTooLong, e.Length, e.Limit)
}

// Unwrap is ErrDataTooLong.
func (e *LengthError) Unwrap() error { return ErrDataTooLong }

// Kind is a word for what is wrong.
func (e *LengthError) Kind() string { return "data_too_long" }

// castagnoli is CRC32C (section 13.1). hash/crc32 uses the processor's
// instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Format is which digests the PDUs of a connection have. Without any it is that
// of the login phase.
type Format struct {
	HeaderDigest, DataDigest bool
}

// Size is how many bytes a PDU takes up with n bytes of data and no additional
// header segments.
func (f Format) Size(n int) int { return f.HeaderSize() + f.BodySize(n) }

// HeaderSize is how many bytes are before the data: a basic header segment and
// its digest.
func (f Format) HeaderSize() int { return f.header(0) }

// BodySize is how many bytes a data segment of n bytes takes up with padding
// and digest. There is no digest if there is no data.
func (f Format) BodySize(n int) int {
	if n > 0 && f.DataDigest {
		return padded(n) + DigestSize
	}
	return padded(n)
}

func (f Format) header(ahs int) int {
	if f.HeaderDigest {
		return HeaderSize + ahs + DigestSize
	}
	return HeaderSize + ahs
}

// Decoder cuts a stream into PDUs whose data is at most limit bytes long
// (MaxRecvDataSegmentLength). A header that does not match its digest is a
// *[DigestError] and ends the stream, a data segment over the limit a
// *[LengthError]. The frame's Body is to be passed to Data.
//
// The caller may set Alloc, AllocFrom and Free in the result. What Alloc is
// asked for has room for padding and digest: up to MaxTrailer bytes more than
// the header's DataLength. To receive data where it belongs in a task's buffer,
// return that place, if the MaxTrailer bytes after the data may be overwritten:
// later data will be put there, or it is the buffer's spare end.
func (f Format) Decoder(limit int) framing.HeaderBody[Header] {
	return framing.HeaderBody[Header]{
		Size:      HeaderSize,
		MaxHeader: HeaderSize + MaxAHS + DigestSize,
		Max:       f.BodySize(limit),
		Parse: func(b []byte) (h Header, header, body int, err error) {
			return f.parse(b, limit)
		},
	}
}

func (f Format) parse(b []byte, limit int) (h Header, header, body int, err error) {
	h = Header(b[:HeaderSize])
	header = f.header(h.AHSLength())
	switch {
	case !f.HeaderDigest && h.DataLength() > limit: // no need to wait for the rest of the header
		return nil, 0, 0, &LengthError{h.Opcode(), h.DataLength(), limit}
	case len(b) < header:
		return nil, header, 0, nil
	}
	h = Header(b[: HeaderSize+h.AHSLength() : HeaderSize+h.AHSLength()])
	if f.HeaderDigest {
		if err = verify(h, b[len(h):], h.Opcode(), ErrHeaderDigest); err != nil {
			return nil, 0, 0, err
		}
	}
	if h.DataLength() > limit {
		return nil, 0, 0, &LengthError{h.Opcode(), h.DataLength(), limit}
	}
	return h, header, f.BodySize(h.DataLength()), nil
}

// Data is the data segment in the body of a frame of Decoder: a piece of it,
// without padding and digest. If it does not match its digest, Data returns it
// along with a *[DigestError].
func (f Format) Data(m framing.Frame[Header]) ([]byte, error) { return f.Check(m.Header, m.Body) }

// Check is Data for a header and a body that were received in another way than
// with Decoder; the body has all of its BodySize bytes.
func (f Format) Check(h Header, body []byte) ([]byte, error) {
	n := h.DataLength()
	data := body[:n:n]
	if n == 0 || !f.DataDigest {
		return data, nil
	}
	return data, verify(body[:padded(n)], body[padded(n):], h.Opcode(), ErrDataDigest)
}

func verify(b, digest []byte, op Opcode, kind error) error {
	got, want := binary.LittleEndian.Uint32(digest), crc32.Checksum(b, castagnoli)
	if got != want {
		return &DigestError{Err: kind, Opcode: op, Got: got, Want: want}
	}
	return nil
}

// appendDigest appends the digest of dst[from:]. The CRC's bit order has it go
// out with its lowest byte first (section 13.1).
func appendDigest(dst []byte, from int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func padded(n int) int { return (n + 3) &^ 3 }

var zeros [HeaderSize]byte

// pad appends the padding of the n bytes before it.
func pad(dst []byte, n int) []byte { return append(dst, zeros[:padded(n)-n]...) }

// begin appends a basic header segment.
func begin(dst []byte, op Opcode, flags byte) ([]byte, Header) {
	dst = append(dst, zeros[:]...)
	h := Header(dst[len(dst)-HeaderSize:])
	h[0], h[1] = byte(op), flags
	return dst, h
}

// AppendHeader appends a header that is ready but for its digest: h, with its
// lengths of additional segments and data as they are.
func (f Format) AppendHeader(dst []byte, h Header) []byte {
	return f.sealHeader(append(dst, h...), len(dst))
}

// sealHeader ends the header that starts at from.
func (f Format) sealHeader(dst []byte, from int) []byte {
	if f.HeaderDigest {
		return appendDigest(dst, from)
	}
	return dst
}

// AppendData appends a data segment with padding and digest.
func (f Format) AppendData(dst, data []byte) []byte {
	return f.AppendTrailer(append(dst, data...), len(data))
}

// AppendTrailer appends padding and digest of the data segment that the last n
// bytes of dst are.
func (f Format) AppendTrailer(dst []byte, n int) []byte {
	from := len(dst) - n
	dst = pad(dst, n)
	if n > 0 && f.DataDigest {
		dst = appendDigest(dst, from)
	}
	return dst
}
