package gnethandler

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/engine"
)

// ErrNotServed is the error of [New] for a handler that can't be served: there
// is none, or its OnBoot answered gnet.Shutdown.
var ErrNotServed = errors.New("gnet handler is not to be served")

// Config is what gnet would be told by its options, or would do by itself. The
// zero Config is a good one.
type Config struct {
	// Shutdown is what the action gnet.Shutdown does, besides closing the
	// connection whose callback answered it. It is called once, by a goroutine
	// of its own, and ends the engine as far as the caller wants it to: the
	// cancel function of the context that Engine.Run was given, say. Default:
	// nothing; one connection does not end everybody's service.
	Shutdown func()
	// Ticker has OnTick called, as gnet.WithTicker does: at once, then each
	// time that the delay which it returned is over, until Close.
	Ticker bool
}

// Drainer is what a gnet.EventHandler may implement in addition, to finish what
// it is at when the connection's namespace or the engine goes away. The action
// may be gnet.None; what is then still open when the drain's time is up is
// reset. Without it a connection is closed at once, after its unsent bytes are
// out, as gnet does when it is shut down.
type Drainer interface {
	OnDrain(c gnet.Conn) gnet.Action
}

// Handler is a gnet.EventHandler as an [engine.Handler]. It may be registered
// for several ports, of one engine or several.
type Handler struct {
	engine.BaseHandler // for what gnet has no word for

	events   gnet.EventHandler
	drainer  Drainer // nil if events is none
	cfg      Config
	shutOnce sync.Once
	ticker   ticker
	endOnce  sync.Once
}

var _ engine.Handler = (*Handler)(nil)

// New calls OnBoot, on the calling goroutine, and starts the ticker if there is
// to be one. The gnet.Engine that OnBoot gets is the empty one, whose methods
// fail with gnet's ErrEmptyEngine: only gnet can make another. The error is an
// [ErrNotServed].
func New(events gnet.EventHandler, cfg Config) (*Handler, error) {
	if events == nil {
		return nil, notServed("it is nil")
	}
	h := &Handler{events: events, cfg: cfg}
	h.drainer, _ = events.(Drainer)
	if events.OnBoot(gnet.Engine{}) == gnet.Shutdown {
		return nil, notServed("its OnBoot answered Shutdown")
	}
	if cfg.Ticker {
		h.ticker.start(h)
	}
	return h, nil
}

// Close ends the ticker, waits for a running OnTick, and calls OnShutdown. Call
// it when the engine has shut down, which no callback can wait for; a second
// call does nothing.
func (h *Handler) Close() {
	h.endOnce.Do(func() {
		h.ticker.stop()
		h.events.OnShutdown(gnet.Engine{})
	})
}

// shutdown is what the action of that name does to the engine.
func (h *Handler) shutdown() {
	if h.cfg.Shutdown != nil {
		h.shutOnce.Do(func() { go h.cfg.Shutdown() }) // it will wait for the loop that we are on
	}
}

// OnOpen makes the gnet.Conn, the one allocation of a connection here, and
// sends what the handler's OnOpen returns.
func (h *Handler) OnOpen(ec *engine.Conn) {
	c := newConn(h, ec)
	if r := registrationOf(ec); r != nil {
		c.ctx = r.ctx
		defer r.end(c, nil)
	}
	ec.SetContext(c)
	out, action := h.events.OnOpen(c)
	if len(out) > 0 {
		_, _ = c.Write(out) // on an error the connection is closed
	}
	c.act(action)
}

// OnData is gnet's OnTraffic. When reading goes on after a pause, the engine
// calls it for bytes that the handler has been told of before; gnet does not.
func (h *Handler) OnData(ec *engine.Conn) {
	if c := connOf(ec); c.left == 0 || ec.Buffered() > c.left {
		c.act(c.traffic())
	}
}

// OnReadEOF closes the connection: gnet knows no half-closed ones.
func (h *Handler) OnReadEOF(ec *engine.Conn) {
	connOf(ec).end(os.NewSyscallError("read", io.EOF))
}

// OnDrain closes the connection, or asks a [Drainer].
func (h *Handler) OnDrain(ec *engine.Conn) {
	c := connOf(ec)
	if h.drainer != nil {
		c.act(h.drainer.OnDrain(c))
		return
	}
	c.end(nil)
}

// OnClose tells the handler, unless it knows or has never heard of the
// connection.
func (h *Handler) OnClose(ec *engine.Conn, err error) {
	if r := registrationOf(ec); r != nil {
		r.end(nil, err)
		return
	}
	if c := connOf(ec); c != nil {
		defer c.giveBack()
		c.tellClosed(cause(err))
	}
}
