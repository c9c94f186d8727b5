package gnethandler

import (
	"io"
)

// The engine's Peek, Next and Discard, but for how gnet counts: 0 or less
// stands for all that there is. A slice is valid until the callback returns.

// Peek returns the next n bytes without consuming them, in one piece.
func (c *conn) Peek(n int) ([]byte, error) {
	if n <= 0 {
		n = -1
	}
	b, err := c.ec.Peek(n)
	if err != nil {
		return nil, err // io.ErrShortBuffer, without the bytes
	}
	return b, nil
}

// Next is Peek, and consumes what it returns.
func (c *conn) Next(n int) ([]byte, error) {
	b, err := c.Peek(n)
	if err != nil {
		return nil, err
	}
	c.consume(len(b))
	return b, nil
}

// Discard consumes up to n bytes and returns how many.
func (c *conn) Discard(n int) (int, error) {
	if n <= 0 {
		n = c.ec.Buffered()
	}
	return c.consume(n), nil
}

// Read copies and consumes. Where there is nothing, it returns
// [io.ErrShortBuffer].
func (c *conn) Read(p []byte) (int, error) {
	b, _ := c.ec.Peek(-1) // all there is can't be too short
	n := copy(p, b)
	if n == 0 && len(p) > 0 {
		return 0, io.ErrShortBuffer
	}
	return c.consume(n), nil
}

// WriteTo consumes what w takes, which gets everything in one piece.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	b, _ := c.ec.Peek(-1)
	n, err := w.Write(b)
	return int64(c.consume(n)), err
}

// InboundBuffered is the number of bytes that have arrived and not been
// consumed.
func (c *conn) InboundBuffered() int { return c.ec.Buffered() }

// consume is the only way that bytes leave by.
func (c *conn) consume(n int) int {
	n = c.ec.Discard(n)
	c.left = min(c.left, c.ec.Buffered())
	return n
}
