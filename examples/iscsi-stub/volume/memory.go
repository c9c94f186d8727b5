package volume

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// memory keeps chunks of what has been written, in a table of two levels: a thin
// terabyte that nobody wrote to is one slice of 16384 pointers.
type memory struct {
	block int
	root  []atomic.Pointer[leaf] // replaced by resize only, which runs alone
}

const (
	chunkSize  = 64 << 10
	leafChunks = 1024
	leafSize   = leafChunks * chunkSize

	maxMemory = 16 << 40 // bytes of a volume; its table then takes 2 MiB
)

type leaf [leafChunks]chunk

// chunk is 64 KiB, with memory or without. Its lock is held while bytes are copied.
type chunk struct {
	mu     sync.RWMutex
	mapped [chunkSize / 512 / 64]uint64 // a bit a block; blocks without are zeros
	data   *[chunkSize]byte             // nil if nothing is mapped
}

func newMemory(block int, size int64) *memory {
	m := &memory{block: block}
	_ = m.resize(size) // nothing can fail
	return m
}

// at returns the chunk at off, nil if its leaf isn't there, and where in it off is.
func (m *memory) at(off int64) (c *chunk, within int) {
	l := m.root[off/leafSize].Load()
	if l == nil {
		return nil, int(off % chunkSize)
	}
	return &l[off%leafSize/chunkSize], int(off % chunkSize)
}

// make makes the leaf at off, unless another has.
func (m *memory) make(off int64) {
	m.root[off/leafSize].CompareAndSwap(nil, new(leaf))
}

func (m *memory) readAt(p []byte, off int64, w Wait) error {
	for len(p) > 0 {
		c, within := m.at(off)
		part := p[:min(len(p), chunkSize-within)]
		if c == nil {
			clear(part)
		} else if err := c.read(part, within, w); err != nil {
			return err
		}
		off += int64(len(part))
		p = p[len(part):]
	}
	return nil
}

func (c *chunk) read(p []byte, within int, w Wait) error {
	if w == MayWait {
		c.mu.RLock()
	} else if !c.mu.TryRLock() {
		return ErrWait
	}
	if c.data == nil {
		clear(p)
	} else {
		copy(p, c.data[within:])
	}
	c.mu.RUnlock()
	return nil
}

func (m *memory) writeAt(p []byte, off int64, _ bool, w Wait) error {
	for len(p) > 0 {
		c, within := m.at(off)
		if c == nil {
			m.make(off)
			continue
		}
		part := p[:min(len(p), chunkSize-within)]
		if err := c.lock(w); err != nil {
			return err
		}
		if c.data == nil {
			c.data = new([chunkSize]byte)
		}
		copy(c.data[within:], part)
		c.mark(within/m.block, len(part)/m.block, true)
		c.mu.Unlock()
		off += int64(len(part))
		p = p[len(part):]
	}
	return nil
}

func (m *memory) zero(off, n int64, w Wait) error {
	for n > 0 {
		c, within := m.at(off)
		part := min(n, chunkSize-int64(within))
		if c == nil {
			part = min(n, leafSize-off%leafSize)
		} else {
			if err := c.lock(w); err != nil {
				return err
			}
			c.mark(within/m.block, int(part)/m.block, false)
			if c.mapped == [len(c.mapped)]uint64{} {
				c.data = nil
			} else {
				clear(c.data[within : within+int(part)])
			}
			c.mu.Unlock()
		}
		off += part
		n -= part
	}
	return nil
}

func (c *chunk) lock(w Wait) error {
	if w == MayWait {
		c.mu.Lock()
	} else if !c.mu.TryLock() {
		return ErrWait
	}
	return nil
}

// mark sets or clears the bits of n blocks from first on.
func (c *chunk) mark(first, n int, mapped bool) {
	for n > 0 {
		word, bit := first/64, first%64
		count := min(n, 64-bit)
		mask := (^uint64(0) >> (64 - count)) << bit
		if mapped {
			c.mapped[word] |= mask
		} else {
			c.mapped[word] &^= mask
		}
		first += count
		n -= count
	}
}

// run says whether a block is mapped, and how many from there on, below end, are alike.
func (c *chunk) run(first, end int) (mapped bool, n int) {
	mapped = c.mapped[first/64]>>(first%64)&1 != 0
	for i := first; i < end; {
		word := c.mapped[i/64] >> (i % 64)
		if mapped {
			word = ^word
		}
		alike := min(bits.TrailingZeros64(word), 64-i%64)
		i += alike
		n = min(i, end) - first
		if alike == 0 || i%64 != 0 {
			break
		}
	}
	return mapped, n
}

func (m *memory) status(off, end int64, w Wait) (mapped bool, n int64, err error) {
	for at := off; at < end; {
		is, alike := false, min(end-at, leafSize-at%leafSize)
		if c, within := m.at(at); c != nil {
			blocks := int(min(end-at, chunkSize-int64(within))) / m.block
			if w == MayWait {
				c.mu.RLock()
			} else if !c.mu.TryRLock() {
				return false, 0, ErrWait
			}
			var run int
			is, run = c.run(within/m.block, within/m.block+blocks)
			c.mu.RUnlock()
			alike = int64(run * m.block)
		}
		if at == off {
			mapped = is
		} else if is != mapped {
			break
		}
		at += alike
		n = at - off
	}
	return mapped, n, nil
}

func (m *memory) update(b []byte, off int64, _ bool, _ Wait, f func([]byte) error) error {
	// The range is held alone: its chunks are locked only for a moment, by
	// neighbours, so that there is nothing worth an ErrWait.
	if err := m.readAt(b, off, MayWait); err != nil {
		return err
	}
	if err := f(b); err != nil {
		return err
	}
	return m.writeAt(b, off, false, MayWait)
}

func (m *memory) resize(size int64) error {
	root := make([]atomic.Pointer[leaf], (size+leafSize-1)/leafSize)
	for i := range m.root {
		root[i].Store(m.root[i].Load())
	}
	m.root = root
	return nil
}

func (m *memory) sync(Wait) error { return nil }

func (m *memory) close() error {
	m.root = nil
	return nil
}
