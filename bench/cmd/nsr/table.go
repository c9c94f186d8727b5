package main

import (
	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/engine"
)

// tableServer is the paper's approach 3 for the service of package core: all namespaces
// in one process, with a few threads.
type tableServer struct {
	engine.BaseHandler
	messages *serve.Messages
	table    *core.Table
}

// OnData answers the requests that have arrived.
func (h tableServer) OnData(c *engine.Conn) {
	requests, _ := c.Peek(-1) // asks for what there is, so it can't be short
	n := h.messages.Complete(len(requests))
	h.messages.Compute(n)
	h.table.Serve(requests[:n], h.messages.Size)
	if _, err := c.Write(requests[:n]); err != nil {
		c.CloseNow()
		return
	}
	c.Discard(n)
}
