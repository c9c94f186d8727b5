package main

import (
	"context"
	"log"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/reactor"
	"github.com/nsreactor/nsreactor/engine"
)

// channelFD is where a child finds its end of the socketpair.
const channelFD = 3

// child is the handler of a child's only loop, so nothing in it is shared.
type child struct {
	engine.BaseHandler
	messages *serve.Messages
	keys     []byte // of one round trip
}

// OnData asks the core about the requests that have arrived, and answers them.
func (h *child) OnData(c *engine.Conn) {
	requests, _ := c.Peek(-1) // asks for what there is, so it can't be short
	n := h.messages.Complete(len(requests))
	h.messages.Compute(n)
	for rest := requests[:n]; len(rest) > 0; {
		batch := rest[:min(len(rest), maxKeys*h.messages.Size)]
		h.ask(batch)
		rest = rest[len(batch):]
	}
	if _, err := c.Write(requests[:n]); err != nil {
		c.CloseNow()
		return
	}
	c.Discard(n)
}

// ask is one round trip. The child can do nothing without an answer, so it waits.
func (h *child) ask(requests []byte) {
	h.keys = core.AppendKeys(h.keys[:0], requests, h.messages.Size)
	err := send(channelFD, h.keys)
	var n int
	if err == nil {
		n, err = receive(channelFD, h.keys)
	}
	if err != nil || n != len(h.keys) {
		log.Fatalf("no answer from the core: %d of %d bytes, %v", n, len(h.keys), err)
	}
	core.PutKeys(requests, h.keys, h.messages.Size)
}

// runChild serves the namespace that the process was born in. Its loop is not pinned:
// every child's would be to the same CPU.
func runChild(ctx context.Context, options *serve.Options, _ int) error {
	config := reactor.Config(1)
	config.Unpinned = true
	eng, err := engine.New(config)
	if err != nil {
		return err
	}
	handler := &child{messages: &options.Messages}
	if err := eng.Handle("tcp", options.Port, handler, engine.AnyNamespace); err != nil {
		return err
	}
	for _, path := range options.Namespaces {
		if err := reactor.Attach(eng, path); err != nil {
			return err
		}
	}
	if err := send(channelFD, hello); err != nil {
		return err
	}
	return eng.Run(ctx)
}
