package handlertest

import "syscall"

// Reset is a reset from the client: what it has sent before can still be read, then
// reading and writing fail with ECONNRESET.
func (c *Conn) Reset() {
	c.loop.t.Helper()
	c.sock.die(syscall.ECONNRESET)
	c.loop.Run()
}

// Refuse fails a Dial that is waiting: with ECONNREFUSED, say.
func (c *Conn) Refuse(e syscall.Errno) {
	c.loop.t.Helper()
	c.sock.die(e)
	c.loop.Run()
}

// FailRead has the loop's next read of the connection fail, with ETIMEDOUT, say, as
// when keepalive has given the client up.
func (c *Conn) FailRead(e syscall.Errno) {
	c.loop.t.Helper()
	c.sock.failRead = e
	c.loop.Run()
}

// FailWrite has the next write fail.
func (c *Conn) FailWrite(e syscall.Errno) {
	c.sock.failWrite = e
	c.loop.Run()
}
