// Command netpollecho is an echo server on cloudwego/netpoll. Its listeners are opened
// inside the namespaces; one poller, which is a process's own, serves them all.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	"github.com/cloudwego/netpoll"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

func main() {
	pool := flag.Bool("gopool", false, "run handlers on netpoll's goroutine pool instead of new goroutines")
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	if err := configure(&options, *pool); err != nil {
		log.Fatal(err)
	}
	for _, path := range options.Namespaces {
		if err := start(path, options.Port); err != nil {
			log.Fatal(err)
		}
	}
	serve.Ready()
	<-ctx.Done()
}

// configure sets what netpoll wants set before it is used. It hands each request to
// another goroutine than the poller's. The pool that it has by default is there for
// handlers with deep stacks; its guide says to do without for others, such as ours.
func configure(options *serve.Options, pool bool) error {
	config := netpoll.Config{PollerNum: 1, BufferSize: options.BufferSize}
	if !pool {
		config.Runner = func(_ context.Context, f func()) { go f() }
	}
	return netpoll.Configure(config)
}

// start serves in the namespace at path. An event loop is what netpoll calls a listener
// with its handlers; all of them share the poller.
func start(path string, port int) error {
	original, err := serve.Listen(path, port)
	if err != nil {
		return err
	}
	listener, err := convert(original)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(echo)
	if err != nil {
		return err
	}
	go func() { log.Fatalf("netpoll ended: %v", loop.Serve(listener)) }()
	return nil
}

// convert makes a listener of netpoll's. It has a descriptor of its own; the original
// is closed, or each namespace would cost two, and a place in Go's poller.
func convert(original net.Listener) (netpoll.Listener, error) {
	defer original.Close()
	return netpoll.ConvertListener(original)
}

// echo returns what has arrived with netpoll's zero-copy interface: Next points into
// the input buffer, and WriteBinary refers to what it is given from 4 KiB on; Flush
// returns when the kernel has it all, so Release frees nothing that is still needed.
func echo(_ context.Context, conn netpoll.Connection) error {
	reader, writer := conn.Reader(), conn.Writer()
	bytes, err := reader.Next(reader.Len())
	if err != nil {
		return err
	}
	if _, err := writer.WriteBinary(bytes); err != nil {
		return err
	}
	if err := writer.Flush(); err != nil {
		return err
	}
	return reader.Release()
}
