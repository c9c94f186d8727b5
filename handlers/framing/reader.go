package framing

import (
	"errors"
	"io"
	"iter"
	"slices"
)

// Reader reads messages from an [io.Reader]: a client's side of a protocol, or
// a file. One goroutine at a time may use it.
type Reader[T any] struct {
	from    io.Reader
	decoder cutter[T]
	buf     []byte // buf[:r] has been delivered, the rest has not
	r       int
	err     error // what Next returns from now on
}

// NewReader makes a Reader. It reads ahead: what it has taken from r beyond the
// last message can't be given back.
func NewReader[T any](r io.Reader, d Decoder[T]) *Reader[T] {
	decoder := newCutter(d)
	return &Reader[T]{from: r, decoder: decoder, err: decoder.validate()}
}

// Next returns the next message, valid until Next is called again. The error is
// [io.EOF] after the last one, an [*Error] with [ErrTruncated] if that is
// incomplete, or else what the decoder or the reader returned; every later call
// returns it too.
func (r *Reader[T]) Next() (m T, err error) {
	if r.err != nil {
		return m, r.err
	}
	m, r.err = r.next()
	return m, r.err
}

// All goes over the messages until the last one or an error, which comes as the
// last pair. A message is valid until the next one.
func (r *Reader[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			m, err := r.Next()
			if errors.Is(err, io.EOF) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (r *Reader[T]) next() (m T, err error) {
	need, seen := 1, 0
	for {
		if b := r.buf[r.r:]; len(b) > 0 {
			m, need, err = r.decoder.cut(b, seen)
			if err != nil {
				return m, err
			}
			if need <= len(b) {
				r.r += need
				return m, nil
			}
			head, body, err := r.decoder.place(b)
			if err != nil {
				return m, err
			}
			if body != nil {
				return r.nextPlaced(head, body)
			}
			seen = len(b)
		}
		if err := r.fill(need); err != nil {
			return m, err
		}
	}
}

// nextPlaced reads a message whose body goes into memory of its own.
func (r *Reader[T]) nextPlaced(n int, body []byte) (m T, err error) {
	head := r.buf[r.r : r.r+n]
	have := copy(body, r.buf[r.r+n:])
	r.r += n + have
	if _, err := io.ReadFull(r.from, body[have:]); err != nil {
		r.decoder.placer.free(body)
		return m, cutShort(err)
	}
	return r.decoder.placer.join(head, body)
}

// cutShort says of an end of file that it came within a message.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncated()
	}
	return err
}

// readAhead is how much a Reader asks for at least, in bytes.
const readAhead = 4 << 10

// fill reads until n bytes are there that have not been delivered.
func (r *Reader[T]) fill(n int) error {
	held := len(r.buf) - r.r
	if n > cap(r.buf)-r.r {
		r.buf = append(r.buf[:0], r.buf[r.r:]...)
		r.r = 0
		r.buf = slices.Grow(r.buf, max(n, readAhead)-held)
	}
	got, err := io.ReadAtLeast(r.from, r.buf[len(r.buf):cap(r.buf)], n-held)
	r.buf = r.buf[:len(r.buf)+got]
	if held+got > 0 {
		err = cutShort(err)
	}
	return err
}

// Split goes over the messages in b. An error comes as the last pair: an
// [*Error] with [ErrTruncated] if b ends within a message, or the decoder's.
// The messages may be slices of b.
func Split[T any](b []byte, d Decoder[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		decoder := newCutter(d)
		if err := decoder.validate(); err != nil {
			yield(none, err)
			return
		}
		for len(b) > 0 {
			m, n, err := decoder.cut(b, 0)
			if err == nil && n > len(b) {
				err = truncated()
			}
			if err != nil {
				yield(none, err)
				return
			}
			b = b[n:]
			if !yield(m, nil) {
				return
			}
		}
	}
}
