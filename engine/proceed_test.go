package engine

import (
	"bytes"
	"errors"
	"testing"
)

// A handler that asks between messages holds no more replies than the
// high-water mark and one, however many requests came at once, and gets to
// answer them all.
func TestProceedBoundsReplies(t *testing.T) {
	const requests, reply, high = 8000, 4 << 10, 16 << 10
	most := 0
	s := startServer(t, Config{WriteHighWater: high}, hooks{
		data: func(c *Conn) {
			for c.Proceed() && c.Discard(1) == 1 {
				_, _ = c.Write(make([]byte, reply))
				most = max(most, c.Unsent())
			}
		},
		closed: func(c *Conn, err error) {
			if err != nil {
				t.Errorf("OnClose got %v", err)
			}
		},
	})
	c := s.dial()
	c.send(make([]byte, requests))
	if got := c.recv(requests * reply); len(got) != requests*reply {
		t.Errorf("got %d bytes", len(got))
	}
	c.finish()
	c.recvAll()
	s.onLoop(0, func(*loop) {
		if most > high+reply {
			t.Errorf("%d bytes were unsent, more than %d", most, high+reply)
		}
	})
}

// Nothing is to be handled any more once the handler has said so itself.
func TestProceedStops(t *testing.T) {
	into := make([]byte, 1)
	for name, stop := range map[string]func(c *Conn){
		"Close":    func(c *Conn) { c.Close() },
		"CloseNow": func(c *Conn) { c.CloseNow() },
		"Fail":     func(c *Conn) { c.Fail(errors.ErrUnsupported) },
		"Pause":    func(c *Conn) { c.Pause(); c.Wake() },
		"ReadInto": func(c *Conn) { c.ReadInto(into, func(c *Conn) { c.Close() }) },
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			ended := make(chan struct{})
			s := startServer(t, Config{}, hooks{
				data: func(c *Conn) {
					calls++
					before := c.Proceed()
					stop(c)
					if !before || c.Proceed() {
						t.Errorf("Proceed before is %v, after %v", before, c.Proceed())
					}
				},
				wake:   func(c *Conn) { c.Close() },
				closed: func(*Conn, error) { close(ended) },
			})
			c := s.dial()
			c.send([]byte("ab"))
			if name != "Fail" && name != "CloseNow" { // they reset
				c.finish()
			}
			await(t, ended, "OnClose")
			if calls != 1 {
				t.Errorf("OnData was called %d times", calls)
			}
		})
	}
}

// A handler that waits for more than is kept unread is told that it won't come,
// and can have it all the same.
func TestInputFull(t *testing.T) {
	const kept = 8 << 10
	text := pattern(7, 3*kept)
	whole := make([]byte, len(text))
	filled := make(chan struct{})
	s := startServer(t, Config{ReadChunk: 4 << 10, ReadBufferMax: kept}, hooks{
		data: func(c *Conn) {
			if full := c.Buffered() >= kept; full != c.InputFull() {
				t.Errorf("InputFull is %v with %d bytes", !full, c.Buffered())
			} else if full {
				c.ReadInto(whole, func(*Conn) { close(filled) })
			}
		},
	})
	c := s.dial()
	c.send(text)
	await(t, filled, "ReadInto")
	if !bytes.Equal(whole, text) {
		t.Error("other bytes were read")
	}
}
