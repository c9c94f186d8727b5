package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// flipping is a filter that turns bits over in both directions, holds the last
// byte back until it knows what follows, and says goodbye with a zero.
type flipping struct {
	held   []byte
	closed chan struct{}
	bad    error
}

func flip(p []byte) []byte {
	q := bytes.Clone(p)
	for i := range q {
		q[i] = ^q[i]
	}
	return q
}

func (f *flipping) Input(w *Wire, arrived []byte) error {
	f.held = append(f.held, flip(arrived)...)
	if n := len(f.held) - 1; n > 0 {
		w.Deliver(f.held[:n])
		f.held = f.held[n:]
	}
	return f.bad
}

func (f *flipping) InputEOF(w *Wire) error {
	if bytes.Equal(f.held, []byte{0}) {
		w.EOF()
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (f *flipping) Output(w *Wire, p []byte) error {
	_, err := w.Write(flip(p))
	return err
}

func (f *flipping) CloseOutput(w *Wire) error { return f.Output(w, []byte{0}) }
func (f *flipping) Closed(*Wire)              { close(f.closed) }

// A filter sees what is on the wire, its handler what is behind it; the filter
// has the last word on the output, and decides whether the input's end is one.
func TestFilterStandsBetween(t *testing.T) {
	f := &flipping{closed: make(chan struct{})}
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open:   func(c *Conn) { c.SetFilter(f) },
		data:   echo,
		closed: func(_ *Conn, err error) { ended <- err },
	})
	c := s.dial()
	text := pattern(1, 100<<10)
	go c.send(append(flip(text), flip([]byte{0})...))
	if got := c.recv(len(text)); !bytes.Equal(flip(got), text) {
		t.Error("the echo differs")
	}
	c.finish()
	if rest := c.recvAll(); !bytes.Equal(rest, flip([]byte{0})) {
		t.Errorf("the last is %x", rest)
	}
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
	await(t, f.closed, "Closed")
}

// What a filter does not like ends the connection with its error.
func TestFilterErrorEndsTheConnection(t *testing.T) {
	for name, f := range map[string]*flipping{
		"input": {bad: io.ErrNoProgress, closed: make(chan struct{})},
		"eof":   {bad: nil, closed: make(chan struct{})},
	} {
		t.Run(name, func(t *testing.T) {
			want := io.ErrUnexpectedEOF
			if f.bad != nil {
				want = f.bad
			}
			ended := make(chan error, 1)
			s := startServer(t, Config{}, hooks{
				open:   func(c *Conn) { c.SetFilter(f) },
				closed: func(_ *Conn, err error) { ended <- err },
			})
			c := s.dial()
			c.send([]byte("x"))
			if f.bad == nil { // else it may be reset already
				c.finish()
			}
			err := await(t, ended, "OnClose")
			if !errors.Is(err, want) {
				t.Errorf("OnClose got %v, want %v", err, want)
			}
			if n := s.stats().Errors[ErrorFilter]; n != 1 {
				t.Errorf("%d errors of filters are counted", n)
			}
		})
	}
}

// An end that a filter finds while its handler has reading paused is told after
// the data before it.
func TestFilteredEOFWaitsForResume(t *testing.T) {
	f := &flipping{closed: make(chan struct{})}
	paused := make(chan *Conn, 1)
	var told []string
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.SetFilter(f) },
		data: func(c *Conn) {
			b, _ := c.Next(1)
			told = append(told, string(b))
			if len(told) == 1 {
				c.Pause()
				paused <- c
				return
			}
			c.Discard(c.Buffered())
		},
		eof: func(c *Conn) {
			told = append(told, "eof")
			c.Close()
		},
		closed: func(*Conn, error) { ended <- nil },
	})
	c := s.dial()
	c.send(append(flip([]byte("abc")), flip([]byte{0})...))
	conn := await(t, paused, "the pause")
	c.finish()
	conn.Call(func(c *Conn) { c.Resume() })
	_ = await(t, ended, "OnClose")
	if len(told) != 3 || told[1] != "b" || told[2] != "eof" {
		t.Errorf("told %q", told)
	}
}

// ReadInto takes what has arrived and what comes, in any pieces, and OnData goes
// on with what is behind it. Bodies come back as they were.
func TestReadInto(t *testing.T) {
	sizes := []int{0, 1, 100, 5000, 70_000, 300_000, 0, 3}
	var in, want []byte
	for i, n := range sizes {
		body := pattern(uint64(i), n)
		in = append(binary.BigEndian.AppendUint32(in, uint32(n)), body...)
		want = append(want, body...)
	}
	for name, filtered := range map[string]bool{"plain": false, "filtered": true} {
		for _, piece := range []int{1 << 20, 10_000, 4097} {
			t.Run(fmt.Sprint(name, piece), func(t *testing.T) {
				var body []byte
				reply := func(c *Conn) { _, _ = c.Write(body) }
				s := startServer(t, Config{}, hooks{
					open: func(c *Conn) {
						if filtered {
							c.SetFilter(&flipping{closed: make(chan struct{})})
						}
					},
					data: func(c *Conn) {
						if head, err := c.Next(4); err == nil {
							body = make([]byte, binary.BigEndian.Uint32(head))
							c.ReadInto(body, reply)
						}
					},
				})
				c, got := s.dial(), make(chan []byte, 1)
				sent := bytes.Clone(in)
				if filtered {
					sent = append(flip(sent), flip([]byte{0})...)
				}
				go func() { got <- c.recv(len(want)) }()
				for p := range slices.Chunk(sent, piece) {
					c.send(p)
				}
				b := await(t, got, "the bodies")
				if filtered {
					b = flip(b)
				}
				if !bytes.Equal(b, want) {
					t.Error("the bodies differ")
				}
			})
		}
	}
}

// A ReadInto that is full while its handler has reading paused is told of after
// Resume, once.
func TestReadIntoWaitsForResume(t *testing.T) {
	calls := make(chan string, 4)
	conns := make(chan *Conn, 1)
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		c.Pause()
		body := make([]byte, 3)
		c.ReadInto(body, func(c *Conn) {
			b, _ := c.Next(c.Buffered())
			calls <- string(body) + "|" + string(b)
		})
		conns <- c
	}})
	s.dial().send([]byte("abcdef"))
	conn := await(t, conns, "OnData")
	conn.Call(func(c *Conn) {
		if len(calls) > 0 || !c.Paused() {
			t.Error("done was called while reading was paused")
		}
		c.Resume()
	})
	if got := await(t, calls, "done"); got != "abc|def" {
		t.Errorf("got %q", got)
	}
}

// A ReadInto outside of OnData, for bytes that have arrived, is told of too.
func TestReadIntoFromElsewhere(t *testing.T) {
	got, conns := make(chan string, 1), make(chan *Conn, 1)
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		if c.Buffered() == 3 {
			conns <- c
		}
	}})
	s.dial().send([]byte("abc"))
	await(t, conns, "OnData").Call(func(c *Conn) {
		p := make([]byte, 2)
		c.ReadInto(p, func(c *Conn) {
			rest, _ := c.Next(c.Buffered())
			got <- string(p) + "|" + string(rest)
		})
	})
	if g := await(t, got, "done"); g != "ab|c" {
		t.Errorf("got %q", g)
	}
}

// Fail resets, CloseWith lets the output out; both give OnClose the reason.
func TestEndsWithAReason(t *testing.T) {
	reason := errors.New("enough")
	for name, test := range map[string]struct {
		end   func(*Conn)
		reset bool
	}{
		"Fail":      {func(c *Conn) { c.Fail(reason) }, true},
		"CloseWith": {func(c *Conn) { c.CloseWith(reason) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			s := startServer(t, Config{}, hooks{
				data:   func(c *Conn) { _, _ = c.Write([]byte("bye")); test.end(c) },
				closed: func(_ *Conn, err error) { ended <- err },
			})
			c := s.dial()
			c.send([]byte("x"))
			if test.reset {
				c.wantReset()
			} else {
				if got := c.recvAll(); string(got) != "bye" {
					t.Errorf("got %q", got)
				}
				_ = c.Close()
			}
			if err := await(t, ended, "OnClose"); !errors.Is(err, reason) {
				t.Errorf("OnClose got %v", err)
			}
			if n := s.stats().Errors[ErrorHandler]; n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
}

// Values are kept apart from the context, by key.
func TestValues(t *testing.T) {
	var c Conn
	type key struct{ name string }
	a, b := &key{"a"}, &key{"b"}
	if c.Value(a) != nil {
		t.Error("a value out of nothing")
	}
	c.SetValue(a, 1)
	c.SetValue(b, 2)
	c.SetValue(a, 3)
	if c.Value(a) != 3 || c.Value(b) != 2 || c.Value(&key{"a"}) != nil || c.Context() != nil {
		t.Errorf("%v %v %v", c.Value(a), c.Value(b), c.Value(&key{"a"}))
	}
	c.SetValue(a, nil)
	if c.Value(a) != nil {
		t.Error("still there")
	}
}

// The bytes of a connection are in Stats when OnClose is called, however busy the
// loop is: a comparison with what the clients sent found them missing.
func TestBytesAreCountedWhenClosed(t *testing.T) {
	counted := make(chan uint64, 1)
	var s *testServer
	s = startServer(t, Config{}, hooks{
		data:   func(c *Conn) { c.CloseNow() }, // within the turn: a loop that waits has published all anyway
		closed: func(*Conn, error) { counted <- s.Stats().Namespaces[0].BytesIn },
	})
	s.dial().send([]byte("abc"))
	if n := await(t, counted, "OnClose"); n != 3 {
		t.Errorf("%d bytes are counted, not 3", n)
	}
}

// finish shuts down the client's write half.
func (c *client) finish() {
	if err := c.CloseWrite(); err != nil {
		c.t.Error(err)
	}
}
