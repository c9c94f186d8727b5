package framing

import (
	"errors"
	"fmt"
	"io"
)

// What can be wrong with a stream of messages, or with what is to be sent in
// one.
var (
	// ErrTooLong is a message over its decoder's limit, or, when sending, one
	// whose length does not fit into its prefix.
	ErrTooLong = errors.New("message too long")
	// ErrBadLength is a length that no message can have: it counts the header
	// and is less than that, or it is encoded wrongly.
	ErrBadLength = errors.New("impossible message length")
	// ErrTruncated is an end of file within a message. It is an
	// [io.ErrUnexpectedEOF].
	ErrTruncated = fmt.Errorf("stream ends within a message: %w", io.ErrUnexpectedEOF)
	// ErrBadMessage is a message that is not to be sent, since its receiver
	// would not find its end: it has the delimiter in it.
	ErrBadMessage = errors.New("message contains its own end")
	// ErrBadDecoder is a mistake in a program: a decoder with settings that
	// can't be, or one that breaks its contract.
	ErrBadDecoder = errors.New("bad decoder")
)

// Error is what is wrong with a stream. errors.Is sees Err.
type Error struct {
	// Err is one of the package's errors, or wraps one.
	Err error
	// Length is the length that was announced, in bytes. It is 0 if there was
	// none: the end of a line that is too long has not been seen.
	Length uint64
	// Limit is the decoder's limit in bytes, if the error is an [ErrTooLong].
	Limit int
}

// Error says what is wrong, and by how much.
func (e *Error) Error() string {
	switch {
	case errors.Is(e.Err, ErrTooLong) && e.Length == 0:
		return fmt.Sprintf("framing: %v: more than %d bytes", e.Err, e.Limit)
	case errors.Is(e.Err, ErrTooLong):
		return fmt.Sprintf("framing: %v: %d bytes, the limit is %d", e.Err, e.Length, e.Limit)
	}
	return fmt.Sprintf("framing: %v", e.Err)
}

// Unwrap is Err.
func (e *Error) Unwrap() error { return e.Err }

func tooLong(length uint64, limit int) error {
	return &Error{Err: ErrTooLong, Length: length, Limit: limit}
}

// badLength is for a length, or what a program made of one, that can't be.
func badLength[N int | uint64](length N) error {
	return &Error{Err: fmt.Errorf("%w: %d", ErrBadLength, length), Length: uint64(max(length, 0))}
}

func truncated() error { return &Error{Err: ErrTruncated} }

func badDecoder(format string, args ...any) error {
	return &Error{Err: fmt.Errorf("%w: %s", ErrBadDecoder, fmt.Sprintf(format, args...))}
}
