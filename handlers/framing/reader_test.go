package framing

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What ends a Reader is returned again by every later call.
func TestReaderEnds(t *testing.T) {
	broken := errors.New("the cable is cut")
	own := blocks(100)
	own.Alloc = func(_ byte, n int) []byte { return make([]byte, n) }
	body := Map(own, func(m Frame[byte]) ([]byte, error) { return m.Body, nil })
	for name, c := range map[string]struct {
		d    Decoder[[]byte]
		from io.Reader
		want error
	}{
		"end":           {Lines{}, strings.NewReader("a\n"), io.EOF},
		"empty":         {Lines{}, strings.NewReader(""), io.EOF},
		"truncated":     {Lines{}, strings.NewReader("a\nb"), ErrTruncated},
		"too long":      {Lines{Max: 1}, strings.NewReader("a\nbcd"), ErrTooLong},
		"broken":        {Lines{}, io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), broken},
		"broken within": {Lines{}, io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), broken},
		"broken body":   {body, io.MultiReader(strings.NewReader("\x00\x00\x00\x02h"), iotest.ErrReader(broken)), broken},
		"cut body":      {body, strings.NewReader("\x00\x00\x00\x02"), ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(c.from, c.d)
			var err error
			for range 10 {
				if _, err = r.Next(); err != nil {
					break
				}
			}
			_, again := r.Next()
			if !errors.Is(err, c.want) || !errors.Is(again, c.want) {
				t.Errorf("ends with %v, then %v, want %v", err, again, c.want)
			}
		})
	}
}

// Who stops early can go on.
func TestReaderGoesOn(t *testing.T) {
	r := NewReader(strings.NewReader("a\nb\nc\n"), Lines{})
	for m, err := range r.All() {
		if string(m) != "a" || err != nil {
			t.Errorf("%q, %v", m, err)
		}
		break
	}
	if m, err := r.Next(); string(m) != "b" || err != nil {
		t.Errorf("%q, %v", m, err)
	}
	for m, err := range Split([]byte("a\nb\n"), Lines{}) {
		if string(m) != "a" || err != nil {
			t.Errorf("%q, %v", m, err)
		}
		break
	}
}

// A large message is read in place: a reader is asked for the rest of it, and
// its memory holds no more than it and what came with it.
func TestReaderReadsInPlace(t *testing.T) {
	const size = 1 << 20
	p := LengthPrefix{Max: size}
	stream, err := p.Append(nil, noise(size, 1))
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(stream), p)
	m, err := r.Next()
	if err != nil || !bytes.Equal(m, noise(size, 1)) {
		t.Fatalf("%d bytes, %v", len(m), err)
	}
	if cap(r.buf) > 2*size {
		t.Errorf("%d bytes for a message of %d", cap(r.buf), size)
	}
}
