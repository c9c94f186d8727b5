package handlers

import (
	"time"

	"github.com/nsreactor/nsreactor/engine"
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
	if err == nil {
		err = Join(c, backend)
	}
	if err != nil {
		c.Fail(err)
	}
}
