// Package gnets starts gnet's engines in namespaces, which gnet knows nothing of.
package gnets

import (
	"fmt"
	"log"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// Base is what an engine's handler embeds, instead of gnet.BuiltinEventEngine.
type Base struct {
	gnet.BuiltinEventEngine
	boot func()
}

// OnBoot runs on the goroutine that called gnet.Run, once the listener is open.
func (b *Base) OnBoot(gnet.Engine) gnet.Action {
	if b.boot != nil {
		b.boot()
	}
	return gnet.None
}

func (b *Base) base() *Base { return b }

// A Handler is an engine's handler that embeds Base.
type Handler interface {
	gnet.EventHandler
	base() *Base
}

// Options are gnet's options for a server with one loop an engine. Everything that they
// do not name is as gnet's authors set it. SO_REUSEADDR, which package net always sets,
// lets a server start while connections of the one before are still in TIME_WAIT.
func Options(o serve.Options) []gnet.Option {
	return []gnet.Option{
		gnet.WithNumEventLoop(1),
		gnet.WithReadBufferCap(o.BufferSize),
		gnet.WithReuseAddr(true),
		gnet.WithLogger(logger{}),
	}
}

// Start runs an engine with one loop for the namespace at path, and returns when it
// listens there. With SO_REUSEPORT, an engine of one loop accepts in that loop and saves
// gnet's acceptor thread.
func Start(handler Handler, path string, port int, options ...gnet.Option) error {
	booted := make(chan error, 2)
	go func() { booted <- run(handler, path, port, booted, options) }()
	return <-booted
}

// run is an engine's life. Only its listener has to be made inside the namespace: the
// thread goes home from OnBoot, or each engine would keep a second thread from use
// besides its loop's.
func run(handler Handler, path string, port int, booted chan<- error, options []gnet.Option) error {
	leave, err := serve.Enter(path)
	if err != nil {
		return err
	}
	up := false
	handler.base().boot = func() {
		if err := leave(); err != nil {
			log.Fatal(err)
		}
		up = true
		booted <- nil
	}
	err = gnet.Run(handler, fmt.Sprintf("tcp4://0.0.0.0:%d", port), append(options, gnet.WithReusePort(true))...)
	if up {
		log.Fatalf("gnet ended: %v", err)
	}
	if err == nil {
		err = fmt.Errorf("gnet ended without a word")
	}
	return err
}
