//go:build !race

package framing

import (
	"bytes"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

// sink has the compiler keep what is only looked at.
var sink int

// cases are a decoder each, behind Map so that they are of one type, with a
// stream of one message.
func cases(tb testing.TB) map[string]struct {
	decoder Decoder[int]
	stream  []byte
} {
	tb.Helper()
	size := func(b []byte) (int, error) { return len(b), nil }
	must := func(b []byte, err error) []byte {
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	line := bytes.Repeat([]byte("x"), 100)
	body := make([]byte, 20_000)
	end := bytes.Repeat([]byte("-"), 100)
	placed := blocks(1 << 20)
	placed.Alloc = func(byte, int) []byte { return body }
	length := func(m Frame[byte]) (int, error) { return len(m.Body), nil }
	type c = struct {
		decoder Decoder[int]
		stream  []byte
	}
	return map[string]c{
		"length":        {Map(LengthPrefix{}, size), must(LengthPrefix{}.Append(nil, line))},
		"varint":        {Map(Varint{}, size), must(Varint{}.Append(nil, line))},
		"lines":         {Map(Lines{}, size), must(Lines{CRLF: true}.Append(nil, line))},
		"delimiter":     {Map(Delimiter{End: end}, size), must(Delimiter{End: end}.Append(nil, line))},
		"header":        {Map(blocks(100), length), appendBlock(nil, 1, 10, line)},
		"own body":      {Map(placed, length), appendBlock(nil, 1, 10, body)},
		"large message": {Map(LengthPrefix{Max: 1 << 20}, size), must(LengthPrefix{Max: 1 << 20}.Append(nil, make([]byte, 500_000)))},
	}
}

// endless repeats a stream.
type endless struct {
	stream []byte
	at     int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.stream[e.at:])
	e.at = (e.at + n) % len(e.stream)
	return n, nil
}

// A message costs no allocation in any decoder, whole or in parts, nor in a
// Reader.
func TestDecodingAllocatesNothing(t *testing.T) {
	for name, c := range cases(t) {
		d, stream := newCutter(c.decoder), c.stream
		r := NewReader(&endless{stream: stream}, c.decoder)
		for what, f := range map[string]func(){
			"whole": func() {
				m, n, err := d.cut(stream, 0)
				if n != len(stream) || err != nil {
					t.Fatal(n, err)
				}
				sink = m
			},
			"in parts": func() {
				for i := 1; i < min(len(stream), 200); i++ {
					if _, n, err := d.cut(stream[:i], i-1); n <= i || err != nil {
						t.Fatal(n, err)
					}
				}
			},
			"reader": func() {
				m, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				sink = m
			},
			"split": func() {
				for m, err := range Split(stream, c.decoder) {
					if err != nil {
						t.Fatal(err)
					}
					sink = m
				}
			},
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s, %s: %v allocations", name, what, n)
			}
		}
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	dst, m := make([]byte, 0, 1000), bytes.Repeat([]byte("x"), 100)
	for name, add := range map[string]func(dst, m []byte) ([]byte, error){
		"length":    LengthPrefix{}.Append,
		"varint":    Varint{}.Append,
		"lines":     Lines{CRLF: true}.Append,
		"delimiter": Delimiter{End: []byte("--")}.Append,
	} {
		if n := testing.AllocsPerRun(100, func() {
			b, err := add(dst, m)
			if err != nil {
				t.Fatal(err)
			}
			sink = len(b)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// allocations is how many times the process allocates while f runs n times, per
// run and rounded down.
func allocations(n int, f func()) uint64 {
	for range n / 10 {
		f() // what grows only once has grown
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(n)
}

// counting counts the calls of OnData.
type counting struct {
	*Framer[int]
	n atomic.Int64
}

func (c *counting) OnData(conn *engine.Conn) {
	c.Framer.OnData(conn)
	c.n.Add(1)
}

// From the socket to the reply a message costs no allocation, be it one of many
// in a read, cut in two by reads, or received into memory of its own.
func TestServingAllocatesNothing(t *testing.T) {
	reply, ok := LengthPrefix{Size: 1}, []byte("ok")
	for name, c := range cases(t) {
		f := frame(t, c.decoder, newServer(func(c *engine.Conn, m int) error { return reply.Write(c, ok) }))
		told := &counting{Framer: f}
		conn := serve(t, engine.Config{}, told).dial(t)
		answer := make([]byte, 3)
		for what, pieces := range map[string][][]byte{
			"whole":  {c.stream},
			"in two": {c.stream[:len(c.stream)/2], c.stream[len(c.stream)/2:]},
			"header": {c.stream[:3], c.stream[3:]},
		} {
			if n := allocations(200, func() {
				before := told.n.Load()
				for _, piece := range pieces {
					send(t, conn, piece)
					for told.n.Load() == before { // the first piece comes by itself
						runtime.Gosched()
					}
				}
				if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "\x02ok" {
					t.Fatal(answer, err)
				}
			}); n != 0 {
				t.Errorf("%s, %s: %d allocations", name, what, n)
			}
		}
	}
}
