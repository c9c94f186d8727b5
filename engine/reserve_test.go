package engine

import (
	"bytes"
	"errors"
	"testing"
)

// What is committed goes out in its place among what is written, with a filter and a
// tap in the way too; what is not committed leaves nothing.
func TestReserve(t *testing.T) {
	plain := func(*Conn) {}
	var tapped []byte
	for name, prepare := range map[string]func(*Conn){
		"plain": plain,
		"filter": func(c *Conn) {
			c.SetFilter(&touchy{on: '!'})
		},
		"tap": func(c *Conn) {
			c.SetTap(func(_ *Conn, d Direction, p []byte) {
				if d == Outbound {
					tapped = append(tapped, p...)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			const size = 100 << 10 // more than a loop's scratch
			want := append(append([]byte("before "), bytes.Repeat([]byte{7}, size)...), " after"...)
			s := startServer(t, Config{}, hooks{open: prepare, data: func(c *Conn) {
				c.Discard(c.Buffered())
				_, _ = c.Write([]byte("before "))
				if _, err := c.Reserve(1000); err != nil {
					t.Errorf("Reserve is %v", err)
				}
				if err := c.Commit(0); err != nil {
					t.Errorf("Commit(0) is %v", err)
				}
				p, err := c.Reserve(size + 1)
				if err != nil || len(p) != size+1 {
					t.Errorf("Reserve is %d bytes, %v", len(p), err)
					return
				}
				copy(p, bytes.Repeat([]byte{7}, size+1))
				if err := c.Commit(size); err != nil {
					t.Errorf("Commit is %v", err)
				}
				_, _ = c.Write([]byte(" after"))
				_, _ = c.Reserve(10) // and forget it
			}})
			c := s.dial()
			c.send([]byte("x"))
			if got := c.recv(len(want)); !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, not those that were written", len(got))
			}
			c.send([]byte("x"))
			if got := c.recv(len(want)); !bytes.Equal(got, want) {
				t.Errorf("got %d bytes the second time, not those that were written", len(got))
			}
			c.finish()
		})
	}
	if !bytes.Contains(tapped, bytes.Repeat([]byte{7}, 1000)) {
		t.Error("the tap has not seen what was committed")
	}
}

// A handler that reserves and flushes by turns stays within the loop's scratch. The
// buffer once went on behind what had been sent, and into memory of its own.
func TestReserveAndFlushStayInScratch(t *testing.T) {
	const piece = 40 << 10
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		c.Discard(c.Buffered())
		for range 4 {
			p, err := c.Reserve(piece)
			if err != nil {
				t.Errorf("Reserve is %v", err)
				return
			}
			clear(p)
			if err := errors.Join(c.Commit(piece), c.Flush()); err != nil {
				t.Errorf("Commit and Flush are %v", err)
			}
			if c.Unsent() == 0 && (c.buf == nil || !c.buf.out.lent) {
				t.Error("the output has left the loop's scratch")
			}
		}
	}})
	c := s.dial()
	c.send([]byte("x"))
	c.recv(4 * piece)
	c.finish()
}

func TestReserveRefused(t *testing.T) {
	s := startServer(t, Config{WriteBufferMax: 64 << 10}, hooks{data: func(c *Conn) {
		c.Discard(c.Buffered())
		if _, err := c.Reserve(64<<10 + 1); !errors.Is(err, ErrOverflow) {
			t.Errorf("Reserve of more than may be unsent is %v", err)
		}
		p, err := c.Reserve(4)
		if err != nil {
			t.Errorf("Reserve is %v", err)
		}
		copy(p, "last")
		if err := c.Commit(4); err != nil {
			t.Errorf("Commit is %v", err)
		}
		c.Close()
		if _, err := c.Reserve(1); !errors.Is(err, ErrClosed) {
			t.Errorf("Reserve after Close is %v", err)
		}
		if err := c.Commit(1); !errors.Is(err, ErrClosed) {
			t.Errorf("Commit after Close is %v", err)
		}
	}})
	c := s.dial()
	c.send([]byte("x"))
	if got := c.recv(4); string(got) != "last" {
		t.Errorf("got %q", got)
	}
	c.finish()
}
