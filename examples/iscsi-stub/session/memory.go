package session

import (
	"math/bits"
	"sync"

	"github.com/nsreactor/nsreactor/examples/iscsi-stub/pdu"
)

// block is memory for the data of a task, with room for a PDU's trailer behind it.
type block struct {
	b     []byte
	class int // its pool, or -1
}

// The blocks of pools hold 4 KiB to 4 MiB; larger ones are made and forgotten.
const (
	smallestBlock = 12 // its power of two
	largestBlock  = 22
)

var blocks [largestBlock - smallestBlock + 1]sync.Pool

// newBlock is a block for n bytes, with anything in it.
func newBlock(n int) *block {
	class := max(bits.Len(uint(max(n, 1)-1))-smallestBlock, 0)
	if class >= len(blocks) {
		return &block{b: make([]byte, n+pdu.MaxTrailer), class: -1}
	}
	if m, ok := blocks[class].Get().(*block); ok {
		return m
	}
	return &block{b: make([]byte, 1<<(class+smallestBlock)+pdu.MaxTrailer), class: class}
}

// free gives a block back. It may be nil.
func (m *block) free() {
	if m != nil && m.class >= 0 {
		blocks[m.class].Put(m)
	}
}

// size is how many bytes of data it holds.
func (m *block) size() int {
	if m == nil {
		return 0
	}
	return len(m.b) - pdu.MaxTrailer
}
