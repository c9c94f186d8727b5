package volume

import "sync"

// buffer is memory on loan.
type buffer struct{ bytes []byte }

// buffers lends memory, for Fill and Update.
type buffers struct{ pool sync.Pool }

var scratch buffers

// get lends n bytes with anything in them.
func (s *buffers) get(n int) *buffer {
	b, _ := s.pool.Get().(*buffer)
	if b == nil {
		b = new(buffer)
	}
	if cap(b.bytes) < n {
		b.bytes = make([]byte, n)
	}
	b.bytes = b.bytes[:n]
	return b
}

func (s *buffers) put(b *buffer) { s.pool.Put(b) }
