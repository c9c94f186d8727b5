package framing

import (
	"encoding/binary"
	"fmt"

	"github.com/nsreactor/nsreactor/engine"
)

// Varint is messages that are preceded by their length as an unsigned varint,
// as in encoding/binary and in Protocol Buffers' delimited streams. The message
// is what follows the length.
type Varint struct {
	// Max limits a message, in bytes, to 1 GiB at most. Default: [DefaultMax].
	Max int
}

// Decode finds a message. One over Max is an [ErrTooLong], a length of more
// than 64 bits an [ErrBadLength].
func (p Varint) Decode(b []byte) (m []byte, n int, err error) {
	length, start := binary.Uvarint(b)
	switch {
	case start == 0 && len(b) < binary.MaxVarintLen64:
		return nil, len(b) + 1, nil
	case start <= 0:
		return nil, 0, &Error{Err: fmt.Errorf("%w: more than 64 bits", ErrBadLength)}
	case length > uint64(limit(p.Max)):
		return nil, 0, tooLong(length, limit(p.Max))
	}
	n = start + int(length)
	if n > len(b) {
		return nil, n, nil
	}
	return b[start:n:n], n, nil
}

func (p Varint) validate() error { return validateMax(p.Max) }

// Append appends to dst a message with its length before it. One over Max is an
// [ErrTooLong]; dst is returned as it was.
func (p Varint) Append(dst, m []byte) ([]byte, error) {
	dst, err := p.appendLength(dst, len(m))
	if err != nil {
		return dst, err
	}
	return append(dst, m...), nil
}

func (p Varint) appendLength(dst []byte, n int) ([]byte, error) {
	if err := p.validate(); err != nil {
		return dst, err
	}
	if n > limit(p.Max) {
		return dst, tooLong(uint64(n), limit(p.Max))
	}
	return binary.AppendUvarint(dst, uint64(n)), nil
}

// Write queues a message with its length before it, as [LengthPrefix.Write]
// does.
func (p Varint) Write(c *engine.Conn, m []byte) error {
	s := borrowScratch()
	defer s.giveBack()
	head, err := p.appendLength(s.bytes(), len(m))
	if err != nil {
		return err
	}
	return writeBoth(c, head, m)
}
