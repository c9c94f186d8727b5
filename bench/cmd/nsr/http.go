package main

import (
	"bytes"
	"strconv"

	"github.com/nsreactor/nsreactor/engine"
)

// maxUnsent is how many bytes of replies may wait for a client before its next request
// is looked at: a client may send requests without reading what comes back. It is the
// engine's high-water mark, or OnWritable would not come.
const maxUnsent = 64 << 10

// responder is a minimal HTTP/1.1 server: GET /N is answered with N bytes.
type responder struct {
	engine.BaseHandler
	body []byte // shared by all replies
}

func newResponder() responder {
	return responder{body: bytes.Repeat([]byte{'x'}, maxBody)}
}

// atEnd is the context of a connection whose client sends no more.
type atEnd struct{}

// OnData answers the requests that have arrived.
func (h responder) OnData(c *engine.Conn) { h.serve(c) }

// OnWritable goes on where serve has stopped, if the kernel did not take the replies at
// once.
func (h responder) OnWritable(c *engine.Conn) { h.serve(c) }

// OnWake goes on where serve has stopped, if the kernel did.
func (h responder) OnWake(c *engine.Conn) {
	if c.Unsent() <= maxUnsent {
		h.serve(c)
	}
}

// OnReadEOF closes when all requests are answered.
func (h responder) OnReadEOF(c *engine.Conn) {
	c.SetContext(atEnd{})
	h.serve(c)
}

// serve answers requests while the client takes the replies.
func (h responder) serve(c *engine.Conn) {
	for c.Unsent() <= maxUnsent {
		stream, _ := c.Peek(-1) // asks for what there is, so it can't be short
		head, n, err := splitHead(stream)
		if n == 0 && err == nil {
			if c.Context() != nil {
				c.Close()
			}
			return
		}
		var r request
		if err == nil {
			r, err = parseHead(head)
		}
		if err != nil {
			refuse(c, err)
			return
		}
		if !h.reply(c, r) {
			return
		}
		c.Discard(n)
	}
	c.Wake()
}

// refuse answers what is no request, and closes.
func refuse(c *engine.Conn, err error) {
	_, _ = c.Write([]byte("HTTP/1.1 " + err.Error() + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	c.Close()
}

// reply answers a request and reports whether the connection goes on.
func (h responder) reply(c *engine.Conn, r request) bool {
	var buffer [128]byte
	if _, err := c.Write(appendHead(buffer[:0], r)); err != nil {
		c.CloseNow()
		return false
	}
	if !r.head && r.size > 0 {
		if _, err := c.Write(h.body[:r.size]); err != nil {
			c.CloseNow()
			return false
		}
	}
	if r.close {
		c.Close()
	}
	return !r.close
}

// appendHead appends the head of a reply. It has the fields that HAProxy sends, so that
// both send the same number of bytes.
func appendHead(head []byte, r request) []byte {
	if r.size < 0 {
		head = append(head, "HTTP/1.1 404 Not Found\r\n"...)
	} else {
		head = append(head, "HTTP/1.1 200 OK\r\n"...)
	}
	head = append(head, "content-length: "...)
	head = strconv.AppendInt(head, int64(max(r.size, 0)), 10)
	head = append(head, "\r\ncontent-type: text/plain\r\n"...)
	if r.close {
		head = append(head, "connection: close\r\n"...)
	}
	return append(head, "\r\n"...)
}
