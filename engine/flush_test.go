package engine

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Flushed bytes are with the peer while the callback goes on.
func TestFlushSendsBeforeTheCallbackReturns(t *testing.T) {
	received := make(chan bool)
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		_, err := c.Next(-1)
		_, err2 := c.Write([]byte("early"))
		if err := errors.Join(err, err2, c.Flush(), c.Flush()); err != nil || c.Unsent() != 0 {
			t.Errorf("flush: %v, %d unsent", err, c.Unsent())
		}
		await(t, received, "the peer to have it")
		_, _ = c.Write([]byte(", late"))
	}})
	client := s.dial()
	client.send([]byte("x"))
	if got := client.recv(5); string(got) != "early" {
		t.Errorf("received %q", got)
	}
	received <- true
	if got := client.recv(6); string(got) != ", late" {
		t.Errorf("received %q", got)
	}
}

// What the kernel does not take stays, and goes out later.
func TestFlushLeavesWhatTheKernelDoesNotTake(t *testing.T) {
	const size = 16 << 20
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		_, err := c.Next(-1)
		_, err2 := c.Write(make([]byte, size))
		_, err3 := c.Write([]byte("end"))
		if err := errors.Join(err, err2, err3, c.Flush()); err != nil || c.Unsent() == 0 {
			t.Errorf("flush: %v, %d unsent", err, c.Unsent())
		}
	}})
	client := s.dial()
	client.send([]byte("x"))
	if got := client.recv(size + 3); string(got[size:]) != "end" {
		t.Errorf("the end is %q", got[size:])
	}
}

// A Flush that fails says so, ends the connection when the callback returns,
// and is refused from then on.
func TestFlushFails(t *testing.T) {
	asked, reset, closed := make(chan bool), make(chan bool), make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		data: func(c *Conn) {
			asked <- true
			await(t, reset, "the peer to be gone")
			_, _ = c.Write([]byte("x"))
			for range 2 {
				if err := c.Flush(); !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("flush: %v", err)
				}
			}
		},
		closed: func(c *Conn, err error) {
			if err := c.Flush(); !errors.Is(err, ErrClosed) {
				t.Errorf("flush when closed: %v", err)
			}
			closed <- err
		},
	})
	client := s.dial()
	client.send([]byte("x"))
	await(t, asked, "OnData")
	client.reset()
	reset <- true
	if err := await(t, closed, "OnClose"); !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("closed with %v", err)
	}
}

// A filter's kept output is part of what is flushed.
func TestFlushAsksTheFilter(t *testing.T) {
	f := &holding{}
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.SetFilter(f) },
		data: func(c *Conn) {
			_, _ = c.Next(-1)
			for range 2 {
				_, _ = c.Write([]byte("a"))
				if err := c.Flush(); err != nil || c.Unsent() != 0 {
					t.Errorf("flush: %v, %d unsent", err, c.Unsent())
				}
			}
		},
	})
	client := s.dial()
	client.send([]byte("x"))
	if got := client.recv(4); string(got) != "a|a|" {
		t.Errorf("received %q", got)
	}
	client.finish()
	client.recvAll()
	if f.flushes != 2 {
		t.Errorf("%d flushes", f.flushes)
	}
}
