package framing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// pieces is a reader that returns as many bytes at a time as its script says,
// over and over.
type pieces struct {
	rest   []byte
	script []byte
	next   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := p.size()
	n = copy(b, p.rest[:min(n, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pieces) size() int {
	if len(p.script) == 0 {
		return 1
	}
	n := int(p.script[p.next%len(p.script)])
	p.next++
	return n + 1
}

// sameHoweverSplit fails unless input gives the same messages, and the same
// end, in one piece, through readers, and when a decoder is asked about it
// after every piece. It returns the outcome.
func sameHoweverSplit[T any](t *testing.T, d Decoder[T], input, script []byte) string {
	t.Helper()
	want := outcome(string(input), d)
	for name, r := range map[string]io.Reader{
		"one byte at a time":   iotest.OneByteReader(bytes.NewReader(input)),
		"pieces":               &pieces{rest: input, script: script},
		"the end with data":    iotest.DataErrReader(bytes.NewReader(input)),
		"all that the room is": bytes.NewReader(input),
	} {
		var got strings.Builder
		for m, err := range NewReader(r, d).All() {
			describe(&got, m, err)
		}
		if got.String() != want {
			t.Errorf("%s:\n%sin one piece:\n%s", name, got.String(), want)
		}
	}
	if got := askOften(t, d, &pieces{rest: input, script: script}); got != want {
		t.Errorf("asked after every piece:\n%sin one piece:\n%s", got, want)
	}
	return want
}

// askOften is a connection: what has arrived is always somewhere else in
// memory, and the decoder is asked after every piece. It holds the decoder to
// its contract: what it says to be the least is never more than there turns out
// to be.
func askOften[T any](t *testing.T, d Decoder[T], in *pieces) string {
	t.Helper()
	var out strings.Builder
	var held []byte
	cut := newCutter(d)
	seen, least := 0, 0
	for {
		for len(held) > 0 {
			m, n, err := cut.cut(held, seen)
			if err != nil {
				describe(&out, m, err)
				return out.String()
			}
			if n > len(held) {
				seen, least = len(held), max(least, n)
				break
			}
			if n < least {
				t.Errorf("a message of %d bytes was to have at least %d", n, least)
			}
			describe(&out, m, nil)
			held, seen, least = held[n:], 0, 0
		}
		piece := make([]byte, 300)
		n, err := in.Read(piece)
		if err != nil {
			if len(held) > 0 {
				describe(&out, nil, truncated())
			}
			return out.String()
		}
		moved := append(bytes.Clone(held), piece[:n]...)
		clear(held)
		held = moved
	}
}

// model is the outcome of cutting a stream with a function that sees all of it:
// one returns the message's payload, its end, and an error, the end beyond b if
// it is not there.
func model(b []byte, one func(b []byte) (m any, n int, err error)) string {
	var out strings.Builder
	for len(b) > 0 {
		m, n, err := one(b)
		if err == nil && n > len(b) {
			err = truncated()
		}
		describe(&out, m, err)
		if err != nil {
			break
		}
		b = b[n:]
	}
	return out.String()
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func FuzzLengthPrefix(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00\x00\x01!"), []byte{0, 5}, byte(4), false, byte(0), int8(0), byte(100))
	f.Add([]byte("ab\x05hiab\x03ab\x02"), []byte{}, byte(1), true, byte(2), int8(-3), byte(2))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), []byte{1}, byte(8), false, byte(0), int8(127), byte(0))
	f.Fuzz(func(t *testing.T, in, script []byte, size byte, little bool, offset byte, adjust int8, most byte) {
		p := LengthPrefix{Size: 1 + int(size-1)%8, LittleEndian: little, Offset: int(offset % 8), Adjust: int(adjust), Max: int(most)}
		got := sameHoweverSplit(t, p, in, script)
		compare(t, got, model(in, func(b []byte) (any, int, error) {
			start := p.Offset + p.Size
			if len(b) < start {
				return nil, start, nil
			}
			var eight [8]byte
			var v uint64
			if field := b[p.Offset:start]; little {
				copy(eight[:], field)
				v = binary.LittleEndian.Uint64(eight[:])
			} else {
				copy(eight[8-p.Size:], field)
				v = binary.BigEndian.Uint64(eight[:])
			}
			most := limit(p.Max)
			switch {
			case v > 1<<40:
				return nil, 0, tooLong(v, most)
			case int(v)+p.Adjust < 0:
				return nil, 0, badLength(v)
			case int(v)+p.Adjust > most:
				return nil, 0, tooLong(v, most)
			}
			n := start + int(v) + p.Adjust
			return b[min(start, len(b)):min(n, len(b))], n, nil
		}))
	})
}

func FuzzVarint(f *testing.F) {
	f.Add([]byte("\x02hi\x00\x01!"), []byte{0, 5}, byte(100))
	f.Add([]byte("\xac\x02hi"), []byte{}, byte(100))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), []byte{}, byte(100))
	f.Fuzz(func(t *testing.T, in, script []byte, most byte) {
		d := Varint{Max: int(most)}
		got := sameHoweverSplit(t, d, in, script)
		compare(t, got, model(in, func(b []byte) (any, int, error) {
			r := bytes.NewReader(b)
			v, err := binary.ReadUvarint(r)
			switch {
			case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
				return nil, len(b) + 1, nil
			case err != nil:
				_, _, err := d.Decode(bytes.Repeat([]byte{0xff}, 11))
				return nil, 0, err
			case v > uint64(limit(d.Max)):
				return nil, 0, tooLong(v, limit(d.Max))
			}
			start := len(b) - r.Len()
			n := start + int(v)
			return b[start:min(n, len(b))], n, nil
		}))
	})
}

func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("a-.b-c-.-."), []byte{0, 5}, "-", byte(100), false)
	f.Add([]byte(".....a...."), []byte{1}, "..", byte(2), true)
	f.Add([]byte("abcd"), []byte{}, "", byte(3), false)
	f.Fuzz(func(t *testing.T, in, script []byte, end string, most byte, keep bool) {
		end = end[:min(len(end), 1000)] + "." // an empty one is no decoder: TestBadDecoders
		d := Delimiter{End: []byte(end), Max: int(most), Keep: keep}
		got := sameHoweverSplit(t, d, in, script)
		compare(t, got, model(in, func(b []byte) (any, int, error) {
			before, _, found := strings.Cut(string(b), end)
			switch {
			case len(before) > limit(d.Max), !found && len(b) >= limit(d.Max)+len(end):
				if found || len(b) >= limit(d.Max)+len(end) {
					return nil, 0, tooLong(0, limit(d.Max))
				}
				return nil, len(b) + 1, nil
			case !found:
				return nil, len(b) + 1, nil
			}
			n := len(before) + len(end)
			if keep {
				before += end
			}
			return before, n, nil
		}))
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\r\r\n\n"), []byte{0, 5}, byte(100))
	f.Add([]byte("abc\r\nabcd\n"), []byte{}, byte(3))
	f.Add([]byte("abcde"), []byte{}, byte(3))
	f.Fuzz(func(t *testing.T, in, script []byte, most byte) {
		d := Lines{Max: int(most)}
		got := sameHoweverSplit(t, d, in, script)
		compare(t, got, model(in, func(b []byte) (any, int, error) {
			most := limit(d.Max)
			line, _, found := strings.Cut(string(b), "\n")
			n := len(line) + 1
			if (!found && len(b) >= most+2) || n > most+2 {
				return nil, 0, tooLong(0, most)
			}
			line = strings.TrimSuffix(line, "\r")
			if found && len(line) > most {
				return nil, 0, tooLong(uint64(len(line)), most)
			}
			return line, n, nil
		}))
	})
}

// FuzzHeaderBody also has bodies go into memory of their own, from a size on
// that the input chooses, and counts that none is lost.
func FuzzHeaderBody(f *testing.F) {
	f.Add([]byte("\x00\x02hi\x01\x02+hi\x00\x00"), []byte{0, 5}, byte(1))
	f.Add([]byte("\x00\x02h"), []byte{}, byte(0))
	f.Add([]byte("\x00\xff"), []byte{}, byte(9))
	f.Add([]byte("\x03\x05E"), []byte{}, byte(5))
	f.Fuzz(func(t *testing.T, in, script []byte, from byte) {
		plain := sameHoweverSplit(t, twoSteps(), in, script)
		compare(t, plain, model(in, func(b []byte) (any, int, error) {
			switch {
			case len(b) < 2:
				return nil, 2, nil
			case b[0] == 'E':
				return nil, 0, errParse
			case b[0] > 4:
				return nil, 0, tooLong(uint64(b[0])+2, 6)
			case len(b) < int(b[0])+2:
				return nil, len(b) + 1, nil
			case b[1] > 127:
				return nil, 0, badLength(int(int8(b[1])))
			case b[1] > 5:
				return nil, 0, tooLong(uint64(b[1]), 5)
			}
			header := int(b[0]) + 2
			n := header + int(b[1])
			m := Frame[string]{Header: string(b[:min(header, len(b))]), Body: b[min(header, len(b)):min(n, len(b))]}
			return m, n, nil
		}))
		d := twoSteps()
		var taken, given int
		d.Alloc = func(_ string, n int) []byte { taken++; return make([]byte, n) }
		d.Free = func([]byte) { given++ }
		d.AllocFrom = int(from % 7)
		owned := 0
		counted := Map(d, func(m Frame[string]) (Frame[string], error) {
			if m.Owned {
				owned++
			}
			if m.Owned != (len(m.Body) >= max(d.AllocFrom, 1)) {
				t.Errorf("a body of %d bytes: owned is %v", len(m.Body), m.Owned)
			}
			m.Owned = false
			return m, nil
		})
		for name, r := range map[string]io.Reader{
			"one byte at a time": iotest.OneByteReader(bytes.NewReader(in)),
			"pieces":             &pieces{rest: in, script: script},
			"one piece":          bytes.NewReader(in),
		} {
			taken, given, owned = 0, 0, 0
			var got strings.Builder
			for m, err := range NewReader(r, counted).All() {
				describe(&got, m, err)
			}
			if got.String() != plain {
				t.Errorf("%s, with Alloc:\n%swithout:\n%s", name, got.String(), plain)
			}
			if taken != owned+given {
				t.Errorf("%s: of %d bodies %d were delivered, %d freed", name, taken, owned, given)
			}
		}
	})
}

// FuzzRoundTrip has every encoder's message come out of its decoder, alone and
// among others, or be refused.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), []byte("x\r\ny"), "\r\n")
	f.Add([]byte("\r"), []byte("a"), "aa")
	f.Fuzz(func(t *testing.T, a, b []byte, end string) {
		codecs := map[string]interface {
			Decoder[[]byte]
			Append(dst, m []byte) ([]byte, error)
		}{
			"length":    LengthPrefix{Size: 2, Adjust: -2},
			"little":    LengthPrefix{Size: 3, LittleEndian: true, Adjust: 7},
			"varint":    Varint{},
			"lines":     Lines{},
			"CRLF":      Lines{CRLF: true},
			"delimiter": Delimiter{End: []byte(end + ".")},
		}
		for name, codec := range codecs {
			stream, want := []byte{}, []string{}
			for _, m := range [][]byte{a, b, a} {
				grown, err := codec.Append(stream, m)
				if err == nil {
					stream, want = grown, append(want, string(m))
				}
			}
			got := []string{}
			for m, err := range Split(stream, codec) {
				if err != nil {
					t.Errorf("%s: %v in %q", name, err, stream)
				}
				got = append(got, string(m))
			}
			compare(t, name+" "+strings.Join(got, "|"), name+" "+strings.Join(want, "|"))
		}
	})
}
