package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
)

// holding is a filter that keeps its output until it is to flush, with a mark
// behind each flush, and its input's end until it is told to pass it on.
type holding struct {
	kept    []byte
	flushes int
	late    bool
	reason  error // to close with, after a last word, when something arrives
}

func (h *holding) Input(w *Wire, arrived []byte) error {
	if h.reason != nil {
		_, _ = w.Write([]byte("alert"))
		w.CloseWith(h.reason)
		return nil
	}
	w.Deliver(arrived)
	return nil
}

func (h *holding) InputEOF(w *Wire) error {
	if !h.late {
		w.EOF()
	}
	return nil
}

func (h *holding) Output(w *Wire, p []byte) error {
	h.kept = append(h.kept, p...)
	w.FlushLater()
	return nil
}

func (h *holding) Flush(w *Wire) error {
	h.flushes++
	_, err := w.Write(append(h.kept, '|'))
	h.kept = nil
	return err
}

func (h *holding) CloseOutput(w *Wire) error {
	_, err := w.Write([]byte("."))
	return err
}

func (h *holding) Closed(*Wire) {}

// What a callback writes through a filter that keeps it goes out in one piece
// when it returns, before the filter's last word.
func TestFilterFlushesWhenTheCallbackReturns(t *testing.T) {
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.SetFilter(&holding{}) },
		data: func(c *Conn) {
			b, _ := c.Next(-1)
			for i := range b {
				_, _ = c.Write(b[i : i+1])
			}
		},
	})
	c := s.dial()
	c.send([]byte("abc"))
	if got := c.recv(4); string(got) != "abc|" {
		t.Errorf("got %q", got)
	}
	c.finish()
	if got := c.recvAll(); string(got) != "." {
		t.Errorf("the last is %q", got)
	}
}

// A write to another connection with a filter goes out by itself: it used to wait
// for that connection's next event.
func TestFilteredWriteToAnotherConnection(t *testing.T) {
	conns := make(chan *Conn, 1)
	s := startServer(t, Config{},
		hooks{open: func(c *Conn) { c.SetFilter(&holding{}); conns <- c }},
		hooks{data: func(c *Conn) {
			b, _ := c.Next(-1)
			other := c.Context().(*Conn)
			_, _ = other.Write(b)
			_, _ = c.Write([]byte("mine"))
		}, open: func(c *Conn) { c.SetContext(<-conns) }},
	)
	filtered := s.dial()
	plain := s.dialPort(s.ports[1])
	plain.send([]byte("hello"))
	if got := plain.recv(4); string(got) != "mine" {
		t.Errorf("got %q", got)
	}
	if got := filtered.recv(6); string(got) != "hello|" {
		t.Errorf("got %q", got)
	}
}

// The end of the input may be passed on after the wire has ended.
func TestFilterPassesTheEndOnLater(t *testing.T) {
	f, conns, told := &holding{late: true}, make(chan *Conn, 1), make(chan bool, 1)
	passed := false
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.SetFilter(f); conns <- c },
		eof: func(c *Conn) {
			told <- passed
			c.Close()
		},
	})
	c := s.dial()
	c.finish()
	await(t, conns, "OnOpen").Call(func(c *Conn) {
		passed = true
		c.Wire().EOF()
		c.Wire().EOF()
	})
	if !await(t, told, "OnReadEOF") {
		t.Error("OnReadEOF came before the filter passed it on")
	}
}

// A filter's last word goes out before its connection ends, and its reason is the
// one that OnClose gets, whatever the peer answers.
func TestFilterClosesWithAReason(t *testing.T) {
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprint(reset), func(t *testing.T) {
			ended := make(chan error, 1)
			s := startServer(t, Config{}, hooks{
				open:   func(c *Conn) { c.SetFilter(&holding{reason: io.ErrNoProgress}) },
				closed: func(_ *Conn, err error) { ended <- err },
			})
			c := s.dial()
			c.send([]byte("x"))
			if got := c.recv(6); string(got) != "alert." {
				t.Errorf("got %q", got)
			}
			if reset {
				c.reset()
			} else {
				c.finish()
			}
			if err := await(t, ended, "OnClose"); !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("OnClose got %v", err)
			}
			if n := s.stats().Errors[ErrorFilter]; n != 1 {
				t.Errorf("%d errors of filters are counted", n)
			}
		})
	}
}

// The limit on what is unsent is on what the handler writes: a filter that makes
// more of it is not cut off in the middle.
func TestFilteredWriteOverflows(t *testing.T) {
	errs := make(chan error, 2)
	s := startServer(t, Config{WriteHighWater: 4, WriteBufferMax: 4}, hooks{
		open: func(c *Conn) { c.SetFilter(&holding{}) },
		data: func(c *Conn) {
			c.Discard(c.Buffered())
			_, err := c.Write(bytes.Repeat([]byte("x"), 5))
			errs <- err
			_, err = c.Write([]byte("okay"))
			errs <- err
		},
	})
	c := s.dial()
	c.send([]byte("x"))
	if err := await(t, errs, "Write"); !errors.Is(err, ErrOverflow) {
		t.Errorf("too much is %v", err)
	}
	if err := await(t, errs, "Write"); err != nil {
		t.Errorf("what fits is %v", err)
	}
	if got := c.recv(5); string(got) != "okay|" {
		t.Errorf("got %q", got)
	}
}

// pulling is a filter that reads by itself, in small pieces, once it has seen a first
// byte, and turns bits over.
type pulling struct {
	flipping
	begun bool
}

func (p *pulling) Input(w *Wire, arrived []byte) error {
	p.begun = true
	w.Deliver(flip(arrived))
	return nil
}

func (p *pulling) Pull(w *Wire) (bool, error) {
	if !p.begun {
		return false, nil
	}
	piece := make([]byte, 100)
	for {
		n, err := w.Read(piece)
		w.Deliver(flip(piece[:n]))
		switch {
		case errors.Is(err, ErrNotReady):
			return true, nil
		case errors.Is(err, io.EOF):
			w.EOF()
			return true, nil
		case err != nil:
			return true, err
		}
	}
}

// A filter that reads by itself sees all there is and the end, and takes turns with
// others; outside of Pull there is nothing to read.
func TestFilterReadsByItself(t *testing.T) {
	ended := make(chan error, 1)
	s := startServer(t, Config{ReadChunk: 4 << 10}, hooks{
		open: func(c *Conn) { c.SetFilter(&pulling{flipping: flipping{closed: make(chan struct{})}}) },
		data: func(c *Conn) {
			if n, err := c.Wire().Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrNotReady) {
				t.Errorf("Read outside of Pull: %d, %v", n, err)
			}
			echo(c)
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	c := s.dial()
	text := pattern(1, 100<<10)
	c.send(flip(text[:1]))
	got := c.recv(1)
	go c.send(flip(text[1:]))
	if got = append(got, c.recv(len(text)-1)...); !bytes.Equal(flip(got), text) {
		t.Error("the echo differs")
	}
	c.finish()
	_ = c.recvAll()
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v", err)
	}
}

// A reset that a filter reads is the connection's error.
func TestFilterReadsAReset(t *testing.T) {
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) {
			c.SetFilter(&pulling{flipping: flipping{closed: make(chan struct{})}, begun: true})
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	s.dial().reset()
	if err := await(t, ended, "OnClose"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("OnClose got %v", err)
	}
	if n := s.stats().Errors[ErrorRead]; n != 1 {
		t.Errorf("%d errors of reading are counted", n)
	}
}
