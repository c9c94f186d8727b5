package engine

import (
	"io"
	"testing"
)

// A connection that keeps reading is read while its output is congested; its
// OnWritable comes all the same. Another one is not.
func TestKeepReading(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		heard, writable := make(chan struct{}, 1), make(chan struct{}, 1)
		conns := make(chan *Conn, 1)
		s := startServer(t, Config{WriteHighWater: 1 << 10}, hooks{
			open: func(c *Conn) {
				c.KeepReading(keeps)
				for !c.Congested() {
					_, _ = c.Write(make([]byte, 1<<20))
				}
				conns <- c
			},
			data: func(c *Conn) {
				c.Discard(c.Buffered())
				heard <- struct{}{}
			},
			writable: func(*Conn) { writable <- struct{}{} },
		})
		client := s.dialSmall(4 << 10)
		c := await(t, conns, "OnOpen")
		client.send([]byte("are you there?"))
		if keeps {
			await(t, heard, "OnData")
		}
		unsent := 0
		onConn(t, c, func(c *Conn) { unsent = c.Unsent() })
		if len(writable) > 0 || unsent <= 1<<10 {
			t.Errorf("keeps reading %v: %d unsent, OnWritable was called %d times", keeps, unsent, len(writable))
		}
		if !keeps {
			s.mustBeQuiet(0, "congested")
			if len(heard) > 0 {
				t.Error("read while congested")
			}
		}
		go func() { _, _ = io.Copy(io.Discard, client.TCPConn) }()
		await(t, writable, "OnWritable")
		if !keeps {
			await(t, heard, "OnData")
		}
	}
}

// What was congested before it keeps reading is read from then on.
func TestKeepReadingLater(t *testing.T) {
	heard, conns := make(chan struct{}, 1), make(chan *Conn, 1)
	s := startServer(t, Config{WriteHighWater: 1 << 10}, hooks{
		open: func(c *Conn) {
			for !c.Congested() {
				_, _ = c.Write(make([]byte, 1<<20))
			}
			conns <- c
		},
		data: func(c *Conn) {
			c.Discard(c.Buffered())
			heard <- struct{}{}
		},
	})
	client := s.dialSmall(4 << 10)
	c := await(t, conns, "OnOpen")
	client.send([]byte("are you there?"))
	onConn(t, c, func(c *Conn) { c.KeepReading(true) })
	await(t, heard, "OnData")
}

// Congested offers the kernel what is queued before it says so, and is false for
// what is closed.
func TestCongested(t *testing.T) {
	conns := make(chan *Conn, 1)
	s := startServer(t, Config{WriteHighWater: 4}, hooks{open: func(c *Conn) { conns <- c }})
	client := s.dial()
	c := await(t, conns, "OnOpen")
	onConn(t, c, func(c *Conn) {
		_, _ = c.Write([]byte("more than four"))
		if c.Unsent() <= 4 || c.Congested() || c.Unsent() != 0 {
			t.Errorf("congested, with %d unsent", c.Unsent())
		}
		c.CloseNow()
	})
	client.wantReset()
	onConn(t, c, func(c *Conn) {
		if c.Congested() {
			t.Error("congested though closed")
		}
	})
}
