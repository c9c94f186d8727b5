package framing

import (
	"bytes"

	"github.com/nsreactor/nsreactor/engine"
)

// Delimiter is messages that end with a mark: a zero byte, an empty line. A
// mark within a message can't be told from its end.
type Delimiter struct {
	// End is the mark. It must not be empty, nor change.
	End []byte
	// Max limits a message without its mark, in bytes, to 1 GiB at most.
	// Default: [DefaultMax].
	Max int
	// Keep has the mark be part of the message.
	Keep bool
}

// Decode finds a message. If its end is not within Max bytes, it is an
// [ErrTooLong].
func (d Delimiter) Decode(b []byte) (m []byte, n int, err error) { return d.resume(b, 0) }

func (d Delimiter) resume(b []byte, seen int) (m []byte, n int, err error) {
	if len(d.End) == 0 {
		return nil, 0, d.validate()
	}
	most := limit(d.Max) + len(d.End)
	from := max(seen-len(d.End)+1, 0) // the mark may have come in two
	i := -1
	if window := b[:min(len(b), most)]; from < len(window) {
		i = bytes.Index(window[from:], d.End)
	}
	switch {
	case i < 0 && len(b) >= most:
		return nil, 0, tooLong(0, limit(d.Max))
	case i < 0:
		return nil, len(b) + 1, nil
	}
	i += from
	n = i + len(d.End)
	if d.Keep {
		i = n
	}
	return b[:i:i], n, nil
}

func (d Delimiter) validate() error {
	if len(d.End) == 0 || len(d.End) > DefaultMax {
		return badDecoder("a delimiter of %d bytes, not 1 to %d", len(d.End), DefaultMax)
	}
	return validateMax(d.Max)
}

// Append appends to dst a message and its mark. A message in which, or across
// whose end, the mark would be found is an [ErrBadMessage], one over Max an
// [ErrTooLong]; dst is returned as it was.
func (d Delimiter) Append(dst, m []byte) ([]byte, error) {
	if err := d.validate(); err != nil {
		return dst, err
	}
	if len(m) > limit(d.Max) {
		return dst, tooLong(uint64(len(m)), limit(d.Max))
	}
	start := len(dst)
	dst = append(append(dst, m...), d.End...)
	if bytes.Index(dst[start:], d.End) != len(m) {
		return dst[:start], &Error{Err: ErrBadMessage}
	}
	return dst, nil
}

// Write queues a message and its mark, as [engine.Conn.Write] does, with the
// errors of Append; it belongs to the connection's callbacks.
func (d Delimiter) Write(c *engine.Conn, m []byte) error {
	return writeAppended(c, len(m)+len(d.End), m, d.Append)
}

// Lines is lines of text. A line ends with \n or \r\n, which are not part of
// the message; a \r elsewhere is.
type Lines struct {
	// Max limits a line without its end, in bytes, to 1 GiB at most. Default:
	// [DefaultMax].
	Max int
	// CRLF has Append and Write end lines with \r\n and not with \n. Decode
	// takes both in any case.
	CRLF bool
}

// Decode finds a line. One over Max is an [ErrTooLong].
func (l Lines) Decode(b []byte) (line []byte, n int, err error) { return l.resume(b, 0) }

func (l Lines) resume(b []byte, seen int) (line []byte, n int, err error) {
	most := limit(l.Max)
	i := -1
	if window := b[:min(len(b), most+2)]; seen < len(window) {
		i = bytes.IndexByte(window[seen:], '\n')
	}
	switch {
	case i < 0 && len(b) >= most+2:
		return nil, 0, tooLong(0, most)
	case i < 0:
		return nil, len(b) + 1, nil
	}
	i += seen
	n = i + 1
	if i > 0 && b[i-1] == '\r' {
		i--
	}
	if i > most {
		return nil, 0, tooLong(uint64(i), most)
	}
	return b[:i:i], n, nil
}

func (l Lines) validate() error { return validateMax(l.Max) }

// Append appends to dst a line and its end. A line that has a \n in it, or a \r
// as its last byte, is an [ErrBadMessage], one over Max an [ErrTooLong]; dst is
// returned as it was.
func (l Lines) Append(dst, line []byte) ([]byte, error) {
	if err := l.validate(); err != nil {
		return dst, err
	}
	switch {
	case len(line) > limit(l.Max):
		return dst, tooLong(uint64(len(line)), limit(l.Max))
	case bytes.IndexByte(line, '\n') >= 0 || bytes.HasSuffix(line, []byte("\r")):
		return dst, &Error{Err: ErrBadMessage}
	}
	dst = append(dst, line...)
	if l.CRLF {
		dst = append(dst, '\r')
	}
	return append(dst, '\n'), nil
}

// Write queues a line and its end, as [engine.Conn.Write] does, with the errors
// of Append; it belongs to the connection's callbacks.
func (l Lines) Write(c *engine.Conn, line []byte) error {
	return writeAppended(c, len(line)+2, line, l.Append)
}
