package framing

import (
	"bytes"
	"io"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

// BenchmarkDecode is a message of 100 bytes, among 100 that have arrived
// together.
func BenchmarkDecode(b *testing.B) {
	m := bytes.Repeat([]byte("x"), 100)
	for name, codec := range map[string]codec{
		"length":    LengthPrefix{},
		"varint":    Varint{},
		"lines":     Lines{},
		"delimiter": Delimiter{End: []byte("\r\n\r\n")},
	} {
		b.Run(name, func(b *testing.B) {
			var stream []byte
			for range 100 {
				stream, _ = codec.Append(stream, m)
			}
			d := newCutter[[]byte](codec)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			rest := stream
			for b.Loop() {
				if len(rest) == 0 {
					rest = stream
				}
				_, n, err := d.cut(rest, 0)
				if err != nil {
					b.Fatal(err)
				}
				rest = rest[n:]
			}
		})
	}
}

// BenchmarkServe is round trips through an engine and the loopback: 100
// messages of 100 bytes each at a time, or one message of 1 MiB whose body has
// memory of its own.
func BenchmarkServe(b *testing.B) {
	m := bytes.Repeat([]byte("x"), 100)
	p := LengthPrefix{Max: 1 << 20}
	large, _ := p.Append(nil, make([]byte, 1<<20))
	var small []byte
	for range 100 {
		small, _ = p.Append(small, m)
	}
	body := make([]byte, 1<<20)
	own := blocks(1 << 20)
	own.Alloc = func(byte, int) []byte { return body }
	var line []byte
	for range 100 {
		line, _ = Lines{}.Append(line, m)
	}
	for name, c := range map[string]struct {
		decoder  Decoder[int]
		stream   []byte
		messages int
	}{
		"length":         {Map(p, func(m []byte) (int, error) { return len(m), nil }), small, 100},
		"lines":          {Map(Lines{}, func(m []byte) (int, error) { return len(m), nil }), line, 100},
		"length of 1MiB": {Map(p, func(m []byte) (int, error) { return len(m), nil }), large, 1},
		"body of 1MiB":   {Map(own, func(m Frame[byte]) (int, error) { return len(m.Body), nil }), appendBlock(nil, 1, 48, make([]byte, 1<<20-1)), 1},
	} {
		b.Run(name, func(b *testing.B) {
			got, reply := 0, []byte{1}
			f := frame(b, c.decoder, newServer(func(conn *engine.Conn, _ int) (err error) {
				if got++; got%c.messages == 0 {
					_, err = conn.Write(reply)
				}
				return err
			}))
			conn := serve(b, engine.Config{}, f).dial(b)
			answer := make([]byte, 1)
			b.SetBytes(int64(len(c.stream)))
			b.ReportAllocs()
			for b.Loop() {
				send(b, conn, c.stream)
				if _, err := io.ReadFull(conn, answer); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.messages), "ns/message")
		})
	}
}
