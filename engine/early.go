package engine

import (
	"io"
	"sync"
)

// early is what a connection had not come to when it was detached. A nil one is
// none.
type early struct {
	reading sync.Mutex
	unread  []byte // not consumed by the handler

	writing sync.Mutex
	unsent  []byte // not taken by the kernel
	fin     bool   // and then the write half is to be shut down
}

// read copies what is unread, and reports how much that was.
func (e *early) read(p []byte) int {
	if e == nil {
		return 0
	}
	e.reading.Lock()
	defer e.reading.Unlock()
	n := copy(p, e.unread)
	e.unread = e.unread[n:]
	return n
}

// writeTo writes what is unread elsewhere.
func (e *early) writeTo(w io.Writer) (int64, error) {
	if e == nil {
		return 0, nil
	}
	e.reading.Lock()
	defer e.reading.Unlock()
	if len(e.unread) == 0 {
		return 0, nil
	}
	n, err := w.Write(e.unread)
	e.unread = e.unread[n:]
	return int64(n), err
}

// sendEarly sends what is unsent. If a deadline cuts it short, the next call goes on.
func (c *NetConn) sendEarly() error {
	e := c.early
	if e == nil {
		return nil
	}
	e.writing.Lock()
	defer e.writing.Unlock()
	for len(e.unsent) > 0 {
		n, err := c.tcpConn.Write(e.unsent)
		e.unsent = e.unsent[n:]
		c.cell.guests.out.Add(uint64(n))
		if err != nil {
			return c.explain("write", err)
		}
	}
	e.unsent = nil
	if e.fin {
		e.fin = false
		return c.explain("close", c.tcpConn.CloseWrite())
	}
	return nil
}
