package gnethandler

import (
	"errors"
	"io"
	"net"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/pool/byteslice"

	"github.com/nsreactor/nsreactor/engine"
)

// Write queues p: what a callback writes goes out when it returns, in one
// system call. p is the caller's again when Write returns. When it fails, the
// connection is closed and OnClose has been called, as on gnet; an overflow
// ([engine.ErrOverflow]), which gnet does not know, is such a failure.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.ec.Write(p)
	if err != nil {
		return 0, c.writeFailed(err)
	}
	return n, nil
}

// writeFailed is the rest of a Write that failed: to go on would leave a hole in
// the stream.
func (c *conn) writeFailed(err error) error {
	if errors.Is(err, engine.ErrClosed) {
		return net.ErrClosed // too late: it is closing anyway
	}
	err = cause(err)
	c.cut = true
	c.end(err)
	return err
}

// Writev is Write for several pieces.
func (c *conn) Writev(bs [][]byte) (int, error) {
	sum := 0
	for _, b := range bs {
		n, err := c.Write(b)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// copySize is what ReadFrom reads at once: enough for the engine not to copy it
// again.
const copySize = 32 << 10

// ReadFrom writes what r gives until its end. No Flush is needed.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	buf := byteslice.Get(copySize)
	defer byteslice.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c}, r, buf)
}

// SendTo fails: it is for UDP.
func (*conn) SendTo([]byte, net.Addr) (int, error) { return 0, gneterrors.ErrUnsupportedOp }

// Flush sends what was written, as far as the kernel takes it, before the
// callback returns.
func (c *conn) Flush() error {
	if err := c.ec.Flush(); err != nil {
		return c.writeFailed(err)
	}
	return nil
}

// OutboundBuffered is the number of bytes that the kernel has not taken. It
// sends first what the callback has written so far, so that it says what gnet
// would.
func (c *conn) OutboundBuffered() int {
	_ = c.Flush() // on an error there is nothing left
	return c.ec.Unsent()
}
