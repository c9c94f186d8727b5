package main

import (
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/engine"
)

// echo returns what arrives.
type echo struct {
	engine.BaseHandler
	messages *serve.Messages
}

// OnData answers with all whole messages that have arrived.
func (h echo) OnData(c *engine.Conn) {
	bytes, _ := c.Peek(-1) // asks for what there is, so it can't be short
	n := h.messages.Complete(len(bytes))
	h.messages.Compute(n)
	if _, err := c.Write(bytes[:n]); err != nil {
		c.CloseNow()
		return
	}
	c.Discard(n)
}
