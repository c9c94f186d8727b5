package framing

import "github.com/nsreactor/nsreactor/engine"

// LengthPrefix is messages that are preceded by their length:
//
//	┌ Offset bytes ┬ length, Size bytes ┬ payload ┐
//
// The message is the payload, or everything if Keep is set. The zero value is a
// length of four bytes in network byte order, before a payload of at most
// [DefaultMax].
type LengthPrefix struct {
	// Size is how many bytes the length takes up, 1 to 8. Default: 4.
	Size int
	// LittleEndian is the length's byte order if it is not the network's.
	LittleEndian bool
	// Offset is the number of bytes before the length, such as a type, at most
	// [DefaultMax].
	Offset int
	// Adjust is added to a length to make it the number of bytes that follow
	// it: -(Offset + Size) if the length counts all of the message, or the size
	// of a trailer that it does not count.
	Adjust int
	// Max limits the payload, in bytes, to 1 GiB at most. Default: DefaultMax.
	Max int
	// Keep has the message be the whole frame, with what is before the payload.
	Keep bool
}

// Decode finds a message. A payload over Max is an [ErrTooLong]; a length that
// Adjust makes negative is an [ErrBadLength].
func (p LengthPrefix) Decode(b []byte) (m []byte, n int, err error) {
	start := p.Offset + p.size()
	if !p.validPlace() {
		return nil, 0, p.validate()
	}
	if len(b) < start {
		return nil, start, nil
	}
	payload, err := p.payload(number(b[p.Offset:start], p.LittleEndian))
	n = start + payload
	switch {
	case err != nil:
		return nil, 0, err
	case n > len(b):
		return nil, n, nil
	case p.Keep:
		start = 0
	}
	return b[start:n:n], n, nil
}

func (p LengthPrefix) size() int {
	if p.Size == 0 {
		return 4
	}
	return p.Size
}

// number is the value of a length's bytes.
func number(field []byte, littleEndian bool) (v uint64) {
	if littleEndian {
		for i := range field {
			v |= uint64(field[i]) << (8 * i)
		}
		return v
	}
	for _, x := range field {
		v = v<<8 | uint64(x)
	}
	return v
}

// payload is how many bytes follow a length. Nothing in it overflows, whatever
// the peer says: a number is compared before it is added to.
func (p LengthPrefix) payload(v uint64) (int, error) {
	length, most := v, uint64(limit(p.Max))
	if p.Adjust < 0 {
		if v < uint64(-p.Adjust) {
			return 0, badLength(length)
		}
		v -= uint64(-p.Adjust)
	} else if v <= most {
		v += uint64(p.Adjust)
	}
	if v > most {
		return 0, tooLong(length, int(most))
	}
	return int(v), nil
}

// validPlace reports whether the length is at a place where it can be.
func (p LengthPrefix) validPlace() bool {
	return uint(p.size()-1) < 8 && uint(p.Offset) <= DefaultMax
}

func (p LengthPrefix) validate() error {
	switch {
	case !p.validPlace():
		return badDecoder("a length of %d bytes at offset %d, not 1 to 8 bytes at 0 to %d", p.Size, p.Offset, DefaultMax)
	case p.Adjust < -maxMax || p.Adjust > maxMax:
		return badDecoder("Adjust is %d, not %d to %d", p.Adjust, -maxMax, maxMax)
	}
	return validateMax(p.Max)
}

// AppendLength appends to dst the length that goes before a payload of n bytes.
// The Offset bytes before it are the caller's to append first. A payload that
// is over Max or whose length the Size bytes can't hold is an [ErrTooLong]; dst
// is returned as it was.
func (p LengthPrefix) AppendLength(dst []byte, n int) ([]byte, error) {
	if err := p.validate(); err != nil {
		return dst, err
	}
	v, size := n-p.Adjust, p.size()
	switch {
	case n < 0 || n > limit(p.Max):
		return dst, tooLong(uint64(n), limit(p.Max))
	case v < 0: // Adjust makes every length more than n
		return dst, badLength(uint64(n))
	case size < 8 && uint64(v)>>(8*size) != 0:
		return dst, tooLong(uint64(n), 1<<(8*size)-1+p.Adjust)
	}
	for i := range size {
		if !p.LittleEndian {
			i = size - 1 - i
		}
		dst = append(dst, byte(uint64(v)>>(8*i)))
	}
	return dst, nil
}

// Append appends to dst a payload with its length before it, as AppendLength
// does.
func (p LengthPrefix) Append(dst, payload []byte) ([]byte, error) {
	dst, err := p.AppendLength(dst, len(payload))
	if err != nil {
		return dst, err
	}
	return append(dst, payload...), nil
}

// Write queues a payload with its length before it, as [engine.Conn.Write]
// does; it belongs to the connection's callbacks. Of a message that is too long
// nothing is sent. If the connection has room for a part only, it fails
// ([engine.Conn.Fail]), since its peer would take the next message for the rest
// of this one.
func (p LengthPrefix) Write(c *engine.Conn, payload []byte) error {
	s := borrowScratch()
	defer s.giveBack()
	head, err := p.AppendLength(s.bytes(), len(payload))
	if err != nil {
		return err
	}
	return writeBoth(c, head, payload)
}
