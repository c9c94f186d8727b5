package engine

// Handler is what a protocol author writes. Its callbacks run on the loop of
// the connection they are given, never two at once for one connection; one
// Handler serves many connections and loops, so what belongs to a connection
// goes into [Conn.SetContext].
//
// By default each callback finds its thread in the connection's namespace; see
// [AnyNamespace]. A callback must not block, must not keep bytes that it was
// given, must not use a Conn of another loop but through the methods that say
// that they are safe, and must leave the thread where it is. A callback that
// panics costs its connection, nothing else.
//
// Embed [BaseHandler] and write only the callbacks that matter.
type Handler interface {
	// OnOpen is the first callback of every connection: it has been accepted, or
	// what was dialed is connected.
	OnOpen(c *Conn)
	// OnData says that bytes have arrived since it was last called, or that
	// reading was resumed while some were left: Peek, Next and Discard give
	// them. What is not consumed stays.
	OnData(c *Conn)
	// OnReadEOF says that the peer sends no more (it has shut down its half).
	// Replies can still be written; Close ends the connection when they are
	// out.
	OnReadEOF(c *Conn)
	// OnWritable says that the unsent bytes, having been above the high-water
	// mark, are down at the low-water mark; or that a connection which had had its
	// share of a turn has another one, see [Conn.Yield].
	OnWritable(c *Conn)
	// OnWake answers Conn.Wake. Several Wakes may be answered by one OnWake.
	OnWake(c *Conn)
	// OnTimer answers Conn.SetTimer.
	OnTimer(c *Conn)
	// OnDrain says that the namespace or the engine is going away: finish,
	// then Close. What is still open when the drain's time is up is reset.
	OnDrain(c *Conn)
	// OnClose is the last callback of every connection, called once; also the only
	// one of a dialed connection that could not be made, or that was closed
	// before it was. The
	// error says what ended it, and the peer got a reset; nil is an orderly
	// end, and an [ErrDetached] none at all. The connection's bytes
	// and buffers are gone. If the error is an [ErrSwitch], the thread could
	// not be brought into the connection's namespace and is at home; so it may
	// be if it is an [ErrDraining].
	OnClose(c *Conn, err error)
}

// BaseHandler answers every callback with what most protocols want: it closes
// a connection when its peer has sent its last, or when it is to drain, after
// the replies are out, and leaves everything else alone.
type BaseHandler struct{}

// OnOpen does nothing.
func (BaseHandler) OnOpen(*Conn) {}

// OnData throws the bytes away.
func (BaseHandler) OnData(c *Conn) { c.Discard(c.Buffered()) }

// OnReadEOF closes, after the replies are out.
func (BaseHandler) OnReadEOF(c *Conn) { c.Close() }

// OnWritable does nothing.
func (BaseHandler) OnWritable(*Conn) {}

// OnWake does nothing.
func (BaseHandler) OnWake(*Conn) {}

// OnTimer does nothing.
func (BaseHandler) OnTimer(*Conn) {}

// OnDrain closes, after the replies are out.
func (BaseHandler) OnDrain(c *Conn) { c.Close() }

// OnClose does nothing.
func (BaseHandler) OnClose(*Conn, error) {}

// HandleOption changes how [Engine.Handle] serves a port.
type HandleOption func(*service)

// AnyNamespace is a handler's promise that it never needs its thread to be in
// the connection's namespace: it reads, computes and writes, but makes no
// sockets, resolves no names and looks at no interfaces. The loop then never
// switches for it. Where such a handler does need the namespace, it calls
// [Conn.Enter].
func AnyNamespace(s *service) { s.anywhere = true }
