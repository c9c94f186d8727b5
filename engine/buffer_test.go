package engine

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/panjf2000/gnet/v2/pkg/pool/byteslice"
)

// bufferModel is some buffers that share the pool and a loop's scratch, and
// what each must hold.
type bufferModel struct {
	tb      testing.TB
	scratch []byte
	bufs    [3]buffer
	held    [3][]byte
	stamp   byte // of the last bytes that were put anywhere
}

func newBufferModel(tb testing.TB) *bufferModel {
	return &bufferModel{tb: tb, scratch: make([]byte, 256)}
}

// fresh is n bytes that are not those of any neighbour.
func (m *bufferModel) fresh(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		m.stamp++
		p[i] = m.stamp
	}
	return p
}

func (m *bufferModel) step(op, which byte, size int) {
	i := int(which) % len(m.bufs)
	b, held := &m.bufs[i], &m.held[i]
	switch op % 6 {
	case 0: // as the loop lends: to one at a time, what fits
		if len(*held) > len(m.scratch) {
			return
		}
		for j := range m.bufs {
			if j != i && m.bufs[j].lent {
				m.bufs[j].own()
			}
		}
		b.lend(m.scratch)
		if !b.lent || &b.buf[0] != &m.scratch[0] {
			m.tb.Fatalf("buffer %d does not use what it was lent", i)
		}
	case 1: // as the loop reads
		space := b.room(size)
		if len(space) < size {
			m.tb.Fatalf("room(%d) is %d bytes", size, len(space))
		}
		p := m.fresh(min(size, 1+size/2))
		b.fill(copy(space, p))
		*held = append(*held, p...)
	case 2:
		p := m.fresh(size)
		b.append(p)
		*held = append(*held, p...)
	case 3:
		n := min(size, b.len())
		b.discard(n)
		*held = (*held)[n:]
	case 4:
		b.own()
		if b.lent {
			m.tb.Fatalf("buffer %d is in lent memory after own", i)
		}
		if b.len() == 0 && b.buf != nil {
			m.tb.Fatalf("buffer %d is empty and holds %d bytes of memory", i, len(b.buf))
		}
	case 5:
		b.reset()
		*held = nil
		if b.buf != nil || b.lent {
			m.tb.Fatalf("buffer %d after reset: %+v", i, b)
		}
	}
}

func (m *bufferModel) check() {
	m.tb.Helper()
	m.scribble()
	for i := range m.bufs {
		b := &m.bufs[i]
		if b.r < 0 || b.r > b.w || b.w > len(b.buf) {
			m.tb.Fatalf("buffer %d is [%d:%d] of %d", i, b.r, b.w, len(b.buf))
		}
		if b.len() != len(m.held[i]) || !bytes.Equal(b.bytes(), m.held[i]) {
			m.tb.Fatalf("buffer %d holds %v, want %v", i, b.bytes(), m.held[i])
		}
	}
}

// scribble writes over all memory that nobody should be using: the scratch if
// it is not lent, and what is in the pool.
func (m *bufferModel) scribble() {
	if !slices.ContainsFunc(m.bufs[:], func(b buffer) bool { return b.lent }) {
		copy(m.scratch, garbage)
	}
	for size := minOwn; size <= 1<<14; size *= 2 {
		one, two := byteslice.Get(size), byteslice.Get(size)
		copy(one[:cap(one)], garbage)
		copy(two[:cap(two)], garbage)
		byteslice.Put(one)
		byteslice.Put(two)
	}
}

var garbage = bytes.Repeat([]byte{0xee}, 1<<14)

func (m *bufferModel) end() {
	for i := range m.bufs {
		m.bufs[i].reset()
	}
}

func TestBufferModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newBufferModel(t)
		for range 200 {
			m.step(byte(r.UintN(256)), byte(r.UintN(256)), int(r.UintN(300)))
			m.check()
		}
		m.end()
	}
}

func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 0, 200, 3, 0, 5, 4, 0, 0, 2, 1, 100})
	f.Add([]byte{2, 0, 200, 0, 0, 0, 2, 0, 100, 4, 0, 0, 5, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newBufferModel(t)
		for ; len(ops) > 2; ops = ops[3:] {
			m.step(ops[0], ops[1], int(ops[2])*2)
			m.check()
		}
		m.end()
	})
}

// A stream that is consumed as it comes needs no more memory than is in flight.
func TestBufferOfASteadyStreamDoesNotGrow(t *testing.T) {
	var b buffer
	defer b.reset()
	b.append(make([]byte, 40))
	for range 10_000 {
		b.append(make([]byte, 10))
		b.discard(10)
	}
	if len(b.buf) > 1024 {
		t.Fatalf("40 bytes in flight, %d of memory", len(b.buf))
	}
}

// Memory goes from a buffer to the pool once.
func TestBufferGivesMemoryBackOnce(t *testing.T) {
	var b buffer
	b.append(make([]byte, 100))
	memory := &b.buf[0]
	b.reset()
	b.reset()
	b.own()
	var seen int
	for range 8 {
		if p := byteslice.Get(100); &p[0] == memory {
			seen++ // the pool may drop what it is given, but must not have it twice
		}
	}
	if seen > 1 {
		t.Fatalf("the pool had one slice %d times", seen)
	}
}
