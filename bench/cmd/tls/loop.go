package main

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/reactor"
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/handlers/tlshandler"
)

// onLoop serves on an engine of one loop.
func onLoop(cfg *tls.Config, kind string, options *serve.Options) error {
	ctx := serve.UntilTerminated()
	eng, err := engine.New(reactor.Config(1))
	if err != nil {
		return err
	}
	h := tlshandler.New(handlerOf(kind, options.BufferSize), tlshandler.Config{GetConfig: tlshandler.Fixed(cfg)})
	if err := eng.Handle("tcp", options.Port, h, engine.AnyNamespace); err != nil {
		return err
	}
	for _, path := range options.Namespaces {
		if err := reactor.Attach(eng, path); err != nil {
			return err
		}
	}
	serve.Ready()
	// A client that does not leave is not an error here.
	if err := eng.Run(ctx); err != nil && !errors.Is(err, engine.ErrDrained) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func handlerOf(kind string, bufferSize int) engine.Handler {
	switch kind {
	case up:
		return handlers.Discard{}
	case down:
		return source{buffer: make([]byte, bufferSize)}
	}
	return handlers.Echo{}
}

// source sends without end.
type source struct {
	engine.BaseHandler
	buffer []byte
}

func (s source) OnOpen(c *engine.Conn) { s.OnWritable(c) }

// OnWritable writes until the high-water mark is passed: it is called again then.
func (s source) OnWritable(c *engine.Conn) {
	for c.Proceed() {
		if _, err := c.Write(s.buffer); err != nil {
			return
		}
	}
}
