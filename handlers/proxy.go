package handlers

import (
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/middleware"
)

// Proxy connects every connection to a backend and joins the two ([Join]). What
// the client sends meanwhile is held for the backend, up to the high-water mark.
// If the backend can't be had, the client is reset. It is to be registered with
// [engine.AnyNamespace]: dialing finds its namespace itself.
//
//	home, err := eng.Home()
//	…
//	err = eng.Handle("tcp", 80, handlers.Proxy{Address: "192.0.2.1:8080", In: home}, engine.AnyNamespace)
type Proxy struct {
	// Network is "tcp", "tcp4", "tcp6" or "unix", as in [engine.Conn.Dial]. Default:
	// "tcp".
	Network string
	// Address is the backend's, as in [engine.Conn.Dial].
	Address string
	// In is the namespace to dial from. Default: the connection's own.
	In *engine.Namespace
	// Timeout is how long to try. Default: engine.Config.DialTimeout.
	Timeout time.Duration
	// SendProxy tells the backend who the client is, with a header of this version of
	// the PROXY protocol, 1 or 2: what the client's own proxy has declared, if
	// [middleware.ProxyProtocol] is around the Proxy. 0 sends none. Since several namespaces
	// may use the same addresses, a header of version 2 has the client's namespace as well:
	// its name, as PP2_TYPE_NETNS.
	SendProxy int

	Joined
}

var _ engine.Handler = Proxy{}

// OnOpen dials the backend.
func (p Proxy) OnOpen(c *engine.Conn) {
	network := p.Network
	if network == "" {
		network = "tcp"
	}
	backend, err := c.Dial(network, p.Address, Joined{}, engine.AnyNamespace, engine.InNamespace(p.In), engine.DialTimeout(p.Timeout))
	if err != nil {
		c.Fail(err)
		return
	}
	if err := p.join(c, backend); err != nil {
		backend.CloseNow()
		c.Fail(err)
	}
}

// join says to the backend whose connection it is, and makes it that.
func (p Proxy) join(c, backend *engine.Conn) error {
	if p.SendProxy != 0 {
		source, destination := middleware.ProxyFor(c)
		var more []proxyproto.TLV
		if p.SendProxy == 2 {
			more = []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NETNS, Value: []byte(c.Namespace().Name())}}
		}
		if err := middleware.SendProxyHeader(backend, p.SendProxy, source, destination, more...); err != nil {
			return err
		}
	}
	return Join(c, backend)
}
