package handlertest

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/nsreactor/nsreactor/engine"
)

// Conn is a connection from its other side: the client that talks to the handler or, if
// the handler has dialed it ([Loop.Dialed]), what it talks to.
type Conn struct {
	loop   *Loop
	peer   netip.AddrPort
	sock   *socket
	server *engine.Conn // nil before OnOpen and after OnClose
	seen   int          // how much of what was received Expect and Take have had

	ended bool
	err   error

	to   Dial  // what was dialed
	life *life // of the handler that dialed
}

// Addr is the client's address.
func (c *Conn) Addr() netip.AddrPort { return c.peer }

// Server is the connection as the handler has it, for a look at its context, or a
// Call. It is nil before OnOpen and after OnClose.
func (c *Conn) Server() *engine.Conn { return c.server }

// Send sends data in one piece, which the handler's loop reads at once if it is not
// longer than Config.ReadChunk.
func (c *Conn) Send(data string) {
	c.loop.t.Helper()
	c.SendPieces(data)
}

// SendPieces sends data in pieces of these sizes, and what is left in a last one. Each
// piece is read by itself, however many are waiting.
func (c *Conn) SendPieces(data string, sizes ...int) {
	c.loop.t.Helper()
	if c.sock.eof {
		c.loop.t.Fatalf("handlertest: %v sends %q after its end", c.peer, clip(data))
	}
	for _, n := range append(sizes, len(data)) {
		n = min(n, len(data))
		if n > 0 && !c.sock.dead && !c.sock.closed {
			c.sock.in = append(c.sock.in, []byte(data[:n]))
		}
		data = data[n:]
	}
	c.loop.Run()
}

// Received is all that the client has received.
func (c *Conn) Received() []byte { return c.sock.out }

// Take is what the client has received since the last Take or Expect.
func (c *Conn) Take() []byte {
	fresh := c.sock.out[c.seen:]
	c.seen = len(c.sock.out)
	return fresh
}

// Expect fails the test unless what the client has received since the last Take or
// Expect is want.
func (c *Conn) Expect(want string) {
	c.loop.t.Helper()
	if got := string(c.Take()); got != want {
		c.loop.t.Errorf("handlertest: %v received %q, want %q", c.peer, clip(got), clip(want))
	}
}

// clip shortens what is shown of long data.
func clip(s string) string {
	const most = 512
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Unread is how many of the client's bytes have not been read by the loop: a handler
// that pauses, or is not read because it has too much unsent, leaves them here.
func (c *Conn) Unread() (n int) {
	for _, piece := range c.sock.in {
		n += len(piece)
	}
	return n
}

// Window is how many bytes more the client takes: with 0 it reads nothing, and what the
// handler writes is queued; with a negative n it takes all, as it does at first.
func (c *Conn) Window(n int) {
	c.loop.t.Helper()
	c.sock.window = max(n, unlimited)
	c.loop.Run()
}

// CloseWrite is the client's end of file. It still receives.
func (c *Conn) CloseWrite() {
	c.loop.t.Helper()
	c.sock.eof = true
	c.loop.Run()
}

// Close is the client's end in both directions: it has sent its last, and a reset answers
// what is still sent to it.
func (c *Conn) Close() {
	c.loop.t.Helper()
	c.sock.eof, c.sock.gone = true, true
	c.loop.Run()
}

// EOF reports whether the client has received the end of file, and so all that the
// handler ever sends it.
func (c *Conn) EOF() bool { return c.sock.fin }

// WasReset reports whether the client has received a reset.
func (c *Conn) WasReset() bool { return c.sock.reset }

// Ended reports whether OnClose was called, and with what.
func (c *Conn) Ended() (err error, ended bool) { return c.err, c.ended } //nolint:revive // the answer first, as in the question

// ExpectEnd fails the test unless OnClose was called, with an error that is target, or
// with nil if that is nil.
func (c *Conn) ExpectEnd(target error) {
	c.loop.t.Helper()
	switch {
	case !c.ended:
		c.loop.t.Errorf("handlertest: %v is still connected", c.peer)
	case !errors.Is(c.err, target):
		c.loop.t.Errorf("handlertest: %v: OnClose got %v, want %v", c.peer, c.err, target)
	}
}
