// Package middleware has handlers that stand around another: each does one thing that no
// protocol should have to do itself.
//
//	log := &middleware.AccessLog{}
//	limits := &middleware.Limits{PerNamespace: 10_000, PerPeer: 100}
//	times := &middleware.Timeouts{Idle: 5 * time.Minute, First: 10 * time.Second}
//	h := middleware.Chain(handlers.Echo{}, log.Wrap, limits.Wrap, times.Wrap)
//	err := eng.Handle("tcp", 7, h, engine.AnyNamespace)
//
// Each is a struct to fill in, of which the zero value does something sensible, with a
// method Wrap. Neither may be changed after its first Wrap. One value may wrap
// several handlers: limits are then shared between them. All but the tap have Stats, and
// Counters for metrics.NewHandlerCollector.
//
// # Order
//
// The first of a chain is the outermost. From the outside to the inside, this is what
// works:
//
//	Recover        sees the panics of all that follow
//	Tap            sees PROXY headers too
//	AccessLog      writes of the connections that the others refuse
//	ProxyProtocol  what is inside of it begins when the header has come
//	Limits         by the address that the header declares; outside of it, by the proxy's
//	Timeouts       First counts from the header on
//	RateLimit
//	TLS            then the handler. Outside of it, Tap and Timeouts find plain text as well
//
// None of them needs its thread to be in the connection's namespace: a chain may be
// registered with [engine.AnyNamespace] if the handler inside may. What is not used costs
// nothing, and nothing in here allocates for a message.
//
// They are for connections: a handler of datagrams is of another kind. One that is detached
// ([engine.Conn.Detach]) has left them: it is logged so, and counts towards no limit.
//
// # Writing one
//
// Embed [Base], and overwrite the callbacks that matter:
//
//	type greeting struct{ middleware.Base }
//
//	func (g *greeting) OnOpen(c *engine.Conn) {
//		c.Write([]byte("hello\n"))
//		g.Base.OnOpen(c)
//	}
//
//	func Greet(h engine.Handler) engine.Handler { return &greeting{middleware.Base{Handler: h}} }
//
// The Context of a connection, its timer (SetTimer) and its pause belong to the innermost
// handler. A middleware has [engine.Conn.SetValue], [engine.Conn.AfterFunc] and
// [engine.Conn.Hold].
package middleware
