package framing

import (
	"sync"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/internal/memory"
)

// scratch is a few bytes for a length. They would not stay on the stack: what
// is done with them below Write is more than the compiler can see.
type scratch struct{ buf [16]byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func borrowScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) bytes() []byte { return s.buf[:0] }

func (s *scratch) giveBack() { scratches.Put(s) }

// writeBoth queues the two parts of a message. The second is not copied behind
// the first: if it is large the engine sends both without copying it at all.
func writeBoth(c *engine.Conn, head, rest []byte) error {
	if _, err := c.Write(head); err != nil {
		return err
	}
	if _, err := c.Write(rest); err != nil {
		c.Fail(err)
		return err
	}
	return nil
}

// writeAppended queues what appending m with its end to at most size bytes
// makes of it.
func writeAppended(c *engine.Conn, size int, m []byte, add func(dst, m []byte) ([]byte, error)) error {
	buf := memory.Get(size)
	defer memory.Put(buf)
	b, err := add(buf[:0], m)
	if err != nil {
		return err
	}
	_, err = c.Write(b)
	return err
}
