package gnethandler

import (
	"github.com/panjf2000/gnet/v2"
	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"

	"github.com/nsreactor/nsreactor/engine"
)

// What any goroutine may ask of a connection. What one goroutine asks is done
// in its order. A callback is called once, on the connection's loop, also when
// the connection is closed by then; not if the error is ErrEngineInShutdown,
// which says that there is no loop any more. What a callback returns is
// ignored, as on gnet.

// AsyncWrite is Write from any goroutine. buf must be left alone until the
// callback, which gets nil when buf has been queued, and net.ErrClosed after
// OnClose.
func (c *conn) AsyncWrite(buf []byte, callback gnet.AsyncCallback) error {
	return c.post(callback, func() error {
		_, err := c.Write(buf)
		return err
	})
}

// AsyncWritev is Writev from any goroutine.
func (c *conn) AsyncWritev(bs [][]byte, callback gnet.AsyncCallback) error {
	return c.post(callback, func() error {
		_, err := c.Writev(bs)
		return err
	})
}

// Wake has OnTraffic called, whether bytes have arrived or not, then the
// callback.
func (c *conn) Wake(callback gnet.AsyncCallback) error {
	return c.post(callback, func() error {
		if !c.opened {
			return nil
		}
		action := c.traffic()
		c.act(action)
		if action == gnet.Shutdown {
			return gneterrors.ErrEngineShutdown
		}
		return nil
	})
}

// Close has the connection closed: OnClose is called from the loop, later.
func (c *conn) Close() error { return c.CloseWithCallback(nil) }

// CloseWithCallback is Close, and calls back after OnClose.
func (c *conn) CloseWithCallback(callback gnet.AsyncCallback) error {
	return c.post(callback, func() error {
		c.end(nil)
		return nil
	})
}

// post has f run on the connection's loop, then the callback.
func (c *conn) post(callback gnet.AsyncCallback, f func() error) error {
	return c.call(func() {
		err := f()
		if callback != nil {
			_ = callback(c, err)
		}
	})
}

// call has f run on the connection's loop.
func (c *conn) call(f func()) error {
	if !c.ec.Call(func(*engine.Conn) { f() }) {
		return gneterrors.ErrEngineInShutdown
	}
	return nil
}
