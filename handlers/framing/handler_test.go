package framing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/nsreactor/nsreactor/engine"
)

// codec is a decoder that has its encoder.
type codec interface {
	Decoder[[]byte]
	Append(dst, m []byte) ([]byte, error)
	Write(c *engine.Conn, m []byte) error
}

// plain is noise without the bytes that end lines and delimited messages.
func plain(size int, seed byte) []byte {
	b := noise(size, seed)
	for i := range b {
		b[i] |= 0x80
	}
	return b
}

// Messages of all sizes come through, also those that are larger than what is
// kept unread, and so do their replies.
func TestMessagesOfAllSizes(t *testing.T) {
	const most = 300 << 10
	codecs := map[string]codec{
		"length":    LengthPrefix{Max: most},
		"varint":    Varint{Max: most},
		"lines":     Lines{Max: most},
		"delimiter": Delimiter{End: []byte("\r\n\r\n"), Max: most},
	}
	sizes := []int{0, 1, 4095, 4096, 4097, direct - 1, direct, direct + 9, 64<<10 - 4, 64 << 10, 64<<10 + 1, most, 3, 70_000, 2}
	for _, cfg := range []engine.Config{{}, {ReadChunk: 4 << 10, ReadBufferMax: 4 << 10}} {
		for name, codec := range codecs {
			t.Run(fmt.Sprint(name, cfg.ReadBufferMax), func(t *testing.T) {
				s := newServer(codec.Write)
				conn := serve(t, cfg, frame(t, codec, s)).dial(t)
				var stream []byte
				for i, size := range sizes {
					var err error
					if stream, err = codec.Append(stream, plain(size, byte(i))); err != nil {
						t.Fatal(err)
					}
				}
				wrote := make(chan error, 1)
				go func() { wrote <- scatter(conn, stream); _ = conn.CloseWrite() }()
				r := NewReader(conn, codec)
				for i, size := range sizes {
					m, err := r.Next()
					if err != nil || !bytes.Equal(m, plain(size, byte(i))) {
						t.Fatalf("message %d: %d bytes of %d, or others, %v", i, len(m), size, err)
					}
				}
				if _, err := r.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("after the last: %v", err)
				}
				if err := await(t, wrote, "the client"); err != nil {
					t.Error("client:", err)
				}
				if err := await(t, s.closed, "OnClose"); err != nil {
					t.Error("OnClose got", err)
				}
			})
		}
	}
}

// scatter writes b in pieces of all sizes.
func scatter(w io.Writer, b []byte) error {
	for len(b) > 0 {
		n := min(1+rand.IntN(1<<rand.IntN(18)), len(b))
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// blocks is a header of four bytes that tell its own length less four, then the
// body's.
func blocks(most int) HeaderBody[byte] {
	return HeaderBody[byte]{
		Size: 4, Max: most,
		Parse: func(b []byte) (byte, int, int, error) {
			header := 4 + int(b[0])
			return b[min(header, len(b))-1], header, int(b[1])<<16 | int(b[2])<<8 | int(b[3]), nil
		},
	}
}

func appendBlock(dst []byte, last byte, header int, body []byte) []byte {
	n := len(body)
	dst = append(dst, byte(header-4), byte(n>>16), byte(n>>8), byte(n))
	dst = append(dst, make([]byte, header-4)...)
	dst[len(dst)-1] = last
	return append(dst, body...)
}

// Bodies from a size on are the handler's, in the memory that Alloc gave, whole
// and unharmed after later messages; the others and the header are right while
// they are valid.
func TestBodiesOfOnesOwn(t *testing.T) {
	const most, own = 1 << 20, 1000
	d := blocks(most)
	var given [][]byte
	d.AllocFrom = own
	d.Alloc = func(last byte, n int) []byte {
		given = append(given, make([]byte, n))
		return given[len(given)-1]
	}
	sizes := []int{0, 10, own - 1, own, own + 1, 8 << 10, 64 << 10, 300_000, most, 5, own, own, 200_000}
	var stream []byte
	for i, size := range sizes {
		stream = appendBlock(stream, byte(i+1), 5+i*20, noise(size, byte(i)))
	}
	var kept [][]byte
	s := newServer(func(c *engine.Conn, m Frame[byte]) error {
		i := int(m.Header) - 1
		if !bytes.Equal(m.Body, noise(sizes[i], byte(i))) {
			t.Errorf("body %d differs", i)
		}
		if m.Owned != (sizes[i] >= own) {
			t.Errorf("body %d is owned: %v", i, m.Owned)
		}
		if m.Owned {
			kept = append(kept, m.Body)
		}
		return nil
	})
	conn := serve(t, engine.Config{}, frame(t, d, s)).dial(t)
	if err := scatter(conn, stream); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	if err := await(t, s.closed, "OnClose"); err != nil {
		t.Error("OnClose got", err)
	}
	if len(kept) != 9 || len(given) != len(kept) {
		t.Fatalf("%d bodies kept, %d given", len(kept), len(given))
	}
	for i, b := range kept {
		if &b[0] != &given[i][0] {
			t.Errorf("body %d is not where it was to be", i)
		}
	}
	if !bytes.Equal(kept[8], noise(200_000, 12)) || !bytes.Equal(kept[5], noise(most, 8)) {
		t.Error("a body has changed")
	}
}

// A header so long that it is received into memory of its own is still followed
// by a body of Alloc.
func TestLongHeader(t *testing.T) {
	const header, body = 3*direct + 5, 100_000
	d := HeaderBody[int]{
		Size: 4, MaxHeader: header, Max: body,
		Alloc: func(_ int, n int) []byte { return make([]byte, n) },
		Parse: func(b []byte) (int, int, int, error) {
			if len(b) == 4 {
				return 0, header - 1, 0, nil // in three steps
			}
			return bytes.Count(b[:min(len(b), header)], []byte("h")), header, body, nil
		},
	}
	got := make(chan string, 2)
	s := newServer(func(c *engine.Conn, m Frame[int]) error {
		got <- fmt.Sprint(m.Header, m.Owned, bytes.Equal(m.Body, noise(body, 1)))
		return nil
	})
	r := serve(t, engine.Config{}, frame(t, d, s))
	conn := r.dial(t)
	for i := range uint64(2) {
		send(t, conn, []byte("hhhh"))
		r.arrived(t, i*(header+body)+4)
		send(t, conn, append(bytes.Repeat([]byte("h"), header-4), noise(body, 1)...))
		if m := await(t, got, "the message"); m != fmt.Sprint(header, " true true") {
			t.Error("got", m)
		}
	}
}

// A paused connection gets no message, of those that have come together with
// the one at which it paused neither; all come when it is resumed.
func TestPauseStopsMessages(t *testing.T) {
	const n = 200
	var got []string
	paused := make(chan *engine.Conn, 1)
	s := newServer(func(c *engine.Conn, line []byte) error {
		if c.Paused() {
			t.Error("a message while paused")
		}
		got = append(got, string(line))
		if len(got) < n {
			c.Pause()
			paused <- c
		}
		return nil
	})
	conn := serve(t, engine.Config{}, frame(t, Lines{}, s)).dial(t)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	go func() {
		for c := range paused {
			c.Call(func(c *engine.Conn) { c.Resume() })
		}
	}()
	send(t, conn, []byte(strings.Join(want, "\n")+"\n"))
	_ = conn.CloseWrite()
	if err := await(t, s.closed, "OnClose"); err != nil {
		t.Error("OnClose got", err)
	}
	close(paused)
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q", got)
	}
}

// A pause by the message before stops one that is being received into memory of
// its own, too, and the resume delivers it.
func TestPauseBeforeLargeMessage(t *testing.T) {
	const size = 200_000
	got := make(chan int, 10)
	s := newServer(func(c *engine.Conn, m []byte) error {
		got <- len(m)
		c.Pause()
		c.Wake()
		return nil
	})
	f := frame(t, LengthPrefix{Max: size}, &resuming{s})
	conn := serve(t, engine.Config{}, f).dial(t)
	stream := []byte{}
	for _, n := range []int{1, size, 2, size} {
		stream, _ = LengthPrefix{Max: size}.Append(stream, noise(n, 1))
	}
	send(t, conn, stream)
	for _, n := range []int{1, size, 2, size} {
		if m := await(t, got, "a message"); m != n {
			t.Errorf("got %d bytes, not %d", m, n)
		}
	}
}

type resuming struct{ *server[[]byte] }

func (resuming) OnWake(c *engine.Conn) { c.Resume() }

// A peer that sends requests and takes no replies costs what the high-water
// mark allows, and gets all of them in the end.
func TestRepliesAreBounded(t *testing.T) {
	const n, reply, high = 5000, 5 << 10, 16 << 10
	p := LengthPrefix{Size: 2}
	most := 0
	s := newServer(func(c *engine.Conn, m []byte) error {
		err := p.Write(c, make([]byte, reply))
		most = max(most, c.Unsent())
		return err
	})
	conn := serve(t, engine.Config{WriteHighWater: high}, frame(t, p, s)).dial(t)
	send(t, conn, bytes.Repeat([]byte{0, 1, 'x'}, n))
	_ = conn.CloseWrite()
	got := 0
	for m, err := range NewReader(conn, p).All() {
		if err != nil || len(m) != reply {
			t.Fatalf("%d bytes, %v", len(m), err)
		}
		got++
	}
	if got != n {
		t.Errorf("%d replies to %d requests", got, n)
	}
	if err := await(t, s.closed, "OnClose"); err != nil {
		t.Error("OnClose got", err)
	}
	if most > high+reply+2 {
		t.Errorf("%d bytes were unsent", most)
	}
}

// What is wrong with the input ends the connection in one way: the peer gets a
// reset, OnClose a typed error, and it is counted.
func TestBadInput(t *testing.T) {
	custom := errors.New("no such command")
	freed := 0
	placed := blocks(1 << 20)
	placed.Alloc = func(_ byte, n int) []byte { return make([]byte, n) }
	placed.Free = func(b []byte) { freed += len(b) }
	short, refused := blocks(1<<20), blocks(1<<20)
	short.Alloc = func(_ byte, n int) []byte { return make([]byte, n-1) }
	refused.Alloc = placed.Alloc
	body := func(m Frame[byte]) ([]byte, error) { return m.Body, nil }
	for name, c := range map[string]struct {
		d    Decoder[[]byte]
		in   string
		want error
	}{
		"too long":           {Lines{Max: 3}, "ok\nabcde", ErrTooLong},
		"announced":          {LengthPrefix{}, "\x7f\xff\xff\xff", ErrTooLong},
		"bad length":         {LengthPrefix{Adjust: -4}, "\x00\x00\x00\x03", ErrBadLength},
		"end in a message":   {Lines{}, "ok\nab", ErrTruncated},
		"end, unexpected":    {Lines{}, "ok\nab", io.ErrUnexpectedEOF},
		"end while received": {LengthPrefix{Max: 1 << 20}, "\x00\x0f\xff\xffabc", ErrTruncated},
		"end in a body":      {Map(placed, body), "\x00\x00\xff\xffabc", ErrTruncated},
		"end in a header":    {Map(placed, body), "\x05\x00\xff\xffabc", ErrTruncated},
		"short Alloc":        {Map(short, body), "\x00\x00\xff\xffabc", ErrBadDecoder},
		"own body refused": {Map(refused, func(m Frame[byte]) ([]byte, error) {
			if !m.Owned {
				return nil, io.ErrNoProgress
			}
			return nil, custom
		}), "\x00\x00\x00\x09123456789", custom},
		"decoder":     {DecoderFunc[[]byte](func([]byte) ([]byte, int, error) { return nil, 0, custom }), "x", custom},
		"no progress": {DecoderFunc[[]byte](func([]byte) ([]byte, int, error) { return nil, 0, nil }), "x", ErrBadDecoder},
		"map":         {Map(Lines{}, func([]byte) ([]byte, error) { return nil, custom }), "x\n", custom},
		"handler":     {Map(Lines{}, func(b []byte) ([]byte, error) { return b, nil }), "bad\n", errHandler},
		"asks for too much": {DecoderFunc[[]byte](func(b []byte) ([]byte, int, error) {
			if len(b) == 1 {
				return nil, 100_000, nil
			}
			return nil, 2, nil
		}), "x" + string(make([]byte, 99_999)), ErrBadDecoder},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(func(_ *engine.Conn, m []byte) error {
				if string(m) == "bad" {
					return errHandler
				}
				return nil
			})
			r := serve(t, engine.Config{}, frame(t, c.d, s))
			conn := r.dial(t)
			send(t, conn, []byte(c.in[:1]))
			r.arrived(t, 1)
			var reset error // it may be there by now
			if len(c.in) > 1 {
				_, reset = conn.Write([]byte(c.in[1:]))
			}
			if errors.Is(c.want, ErrTruncated) || errors.Is(c.want, io.ErrUnexpectedEOF) {
				_ = conn.CloseWrite()
			}
			err := await(t, s.closed, "OnClose")
			if !errors.Is(err, c.want) {
				t.Errorf("OnClose got %v, want %v", err, c.want)
			}
			if _, ok := errors.AsType[*engine.Error](err); !ok {
				t.Errorf("%v is no *engine.Error", err)
			}
			if reset == nil {
				_, reset = conn.Read(make([]byte, 1))
			}
			if !errors.Is(reset, syscall.ECONNRESET) && !errors.Is(reset, syscall.EPIPE) {
				t.Errorf("the peer gets %v, not a reset", reset)
			}
			if n := r.eng.Stats().Namespaces[0].Errors[engine.ErrorHandler]; n != 1 {
				t.Errorf("%d errors counted", n)
			}
		})
	}
	if freed != 0xffff {
		t.Errorf("%d bytes of bodies were freed", freed)
	}
}

var errHandler = errors.New("a message that the handler does not like")

// No message follows one at which the handler has ended the connection.
func TestNoMessageAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(c *engine.Conn) error{
		"Close":    func(c *engine.Conn) error { c.Close(); return nil },
		"CloseNow": func(c *engine.Conn) error { c.CloseNow(); return nil },
		"Fail":     func(c *engine.Conn) error { c.Fail(errHandler); return nil },
		"error":    func(c *engine.Conn) error { return errHandler },
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			s := newServer(func(c *engine.Conn, line []byte) error {
				got = append(got, string(line))
				return end(c)
			})
			conn := serve(t, engine.Config{}, frame(t, Lines{}, s)).dial(t)
			send(t, conn, []byte("QUIT\nmore\nand more"))
			if name == "Close" {
				_ = conn.CloseWrite()
			}
			_ = await(t, s.closed, "OnClose")
			if len(got) != 1 {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A protocol's phases: lines, then a text that ends with a dot, then lines
// again, however they arrive.
func TestSetDecoder(t *testing.T) {
	lines, text := Lines{Max: 10}, Delimiter{End: []byte("\n.\n"), Max: 100}
	var f *Framer[[]byte]
	var got []string
	inText := false
	s := newServer(func(c *engine.Conn, m []byte) error {
		got = append(got, string(m))
		switch {
		case inText:
			inText = false
			return f.SetDecoder(c, lines)
		case string(m) == "DATA":
			inText = true
			return f.SetDecoder(c, text)
		case string(m) == "BAD":
			if err := f.SetDecoder(c, Delimiter{}); !errors.Is(err, ErrBadDecoder) {
				t.Errorf("a bad decoder: %v", err)
			}
		}
		return nil
	})
	f = frame(t, Decoder[[]byte](lines), s)
	r := serve(t, engine.Config{}, f)
	script := "HELO\nDATA\none line\nanother, a long one\n.\nBAD\nDATA\n\n.\nQUIT\n"
	want := "HELO|DATA|one line\nanother, a long one|BAD|DATA||QUIT"
	for _, size := range []int{len(script), 1, 7} {
		got = got[:0]
		conn := r.dial(t)
		before := r.eng.Stats().Gone.BytesIn + r.eng.Stats().Namespaces[0].BytesIn
		for i := 0; i < len(script); i += size {
			piece := script[i:min(i+size, len(script))]
			send(t, conn, []byte(piece))
			r.arrived(t, before+uint64(i+len(piece)))
		}
		_ = conn.CloseWrite()
		if err := await(t, s.closed, "OnClose"); err != nil {
			t.Error("OnClose got", err)
		}
		if all := strings.Join(got, "|"); all != want {
			t.Errorf("in pieces of %d: got %q, want %q", size, all, want)
		}
	}
}

// A handler may stream a body itself: it gets the next message when it has what
// it asked for, and not before.
func TestReadIntoWithinMessage(t *testing.T) {
	var got []string
	body := make([]byte, 5)
	done := func(c *engine.Conn) { got = append(got, string(body)) }
	s := newServer(func(c *engine.Conn, line []byte) error {
		got = append(got, string(line))
		if string(line) == "PUT" {
			c.ReadInto(body, done)
		}
		return nil
	})
	conn := serve(t, engine.Config{}, frame(t, Lines{}, s)).dial(t)
	send(t, conn, []byte("PUT\nabc\ndGET\nPUT\nuvwxyGET\n"))
	_ = conn.CloseWrite()
	if err := await(t, s.closed, "OnClose"); err != nil {
		t.Error("OnClose got", err)
	}
	if all := strings.Join(got, "|"); all != "PUT|abc\nd|GET|PUT|uvwxy|GET" {
		t.Errorf("got %q", all)
	}
}

// A panic costs the one connection, and the memory that it was received into is
// not given away while somebody may look at it.
func TestPanicInMessage(t *testing.T) {
	const size = 100_000
	s := newServer(func(_ *engine.Conn, m []byte) error { panic("at a message") })
	r := serve(t, engine.Config{}, frame(t, LengthPrefix{Max: size}, s))
	for range 2 {
		conn := r.dial(t)
		head, _ := LengthPrefix{Max: size}.AppendLength(nil, size)
		send(t, conn, head)
		_, _ = conn.Write(make([]byte, size))
		if err := await(t, s.closed, "OnClose"); !errors.Is(err, engine.ErrPanic) {
			t.Error("OnClose got", err)
		}
	}
}

// rot is a filter that finds the end of the input, a zero, together with the
// data before it.
type rot struct{}

func (rot) Input(w *engine.Wire, b []byte) error {
	text, _, end := bytes.Cut(b, []byte{0})
	w.Deliver(text)
	if end {
		w.EOF()
	}
	return nil
}

func (rot) InputEOF(*engine.Wire) error                 { return nil }
func (rot) Output(w *engine.Wire, p []byte) (err error) { _, err = w.Write(p); return err }
func (rot) CloseOutput(*engine.Wire) error              { return nil }
func (rot) Closed(*engine.Wire)                         {}

// An end of file that comes together with messages for whose replies there is
// no room waits until they are delivered, and then is what it would have been.
func TestEndWaitsForMessages(t *testing.T) {
	const n, reply, high = 400, 100 << 10, 32 << 10
	for name, c := range map[string]struct {
		rest string
		want error
	}{
		"complete": {"", nil},
		"cut":      {"cut", ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			got, ends := 0, 0
			s := newServer(func(c *engine.Conn, line []byte) error {
				got++
				_, err := c.Write(make([]byte, reply))
				return err
			})
			s.open = func(c *engine.Conn) { c.SetFilter(rot{}) }
			s.eof = func(*engine.Conn) { ends++ }
			conn := serve(t, engine.Config{WriteHighWater: high}, frame(t, Lines{}, s)).dial(t)
			send(t, conn, []byte(strings.Repeat("x\n", n)+c.rest+"\x00"))
			all, err := io.Copy(io.Discard, conn)
			if c.want == nil && (err != nil || all != n*reply) {
				t.Errorf("%d bytes of replies, %v", all, err)
			}
			_ = conn.CloseWrite()
			if err := await(t, s.closed, "OnClose"); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("OnClose got %v, want %v", err, c.want)
			}
			if got != n || (ends == 1) != (c.want == nil) {
				t.Errorf("%d messages of %d, %d ends", got, n, ends)
			}
		})
	}
}

// Writing is all or nothing, as far as the stream goes.
func TestWriteWithoutRoom(t *testing.T) {
	const room = 20 << 10
	p := LengthPrefix{Max: 1 << 20}
	var errs [4]error
	s := newServer(func(c *engine.Conn, line []byte) error {
		errs[0] = p.Write(c, make([]byte, 2<<20)) // over Max: nothing is sent
		errs[1] = Lines{}.Write(c, []byte("fine"))
		errs[2] = p.Write(c, make([]byte, room)) // the length fits, the rest does not
		errs[3] = Varint{}.Write(c, line)
		return nil
	})
	conn := serve(t, engine.Config{WriteHighWater: room, WriteBufferMax: room}, frame(t, Lines{}, s)).dial(t)
	send(t, conn, []byte("\n"))
	if err := await(t, s.closed, "OnClose"); !errors.Is(err, engine.ErrOverflow) {
		t.Errorf("OnClose got %v", err)
	}
	if !errors.Is(errs[0], ErrTooLong) || errs[1] != nil || !errors.Is(errs[2], engine.ErrOverflow) || errs[3] == nil {
		t.Errorf("Write says %v", errs)
	}
}

func TestNewWithoutHandler(t *testing.T) {
	if _, err := New[[]byte](Lines{}, nil); !errors.Is(err, engine.ErrBadHandle) {
		t.Errorf("New says %v", err)
	}
}
