// Command gnetecho is an echo server on gnet, which knows nothing of namespaces: one
// engine for each, with one loop, started on a thread inside it.
package main

import (
	"fmt"
	"log"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

// server is one namespace's engine. It closes booted when its listener is open.
type server struct {
	gnet.BuiltinEventEngine
	booted chan struct{}
}

// OnBoot runs once the listener is open.
func (s *server) OnBoot(gnet.Engine) gnet.Action {
	close(s.booted)
	return gnet.None
}

// OnTraffic returns what has arrived.
func (s *server) OnTraffic(conn gnet.Conn) gnet.Action {
	bytes, err := conn.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := conn.Write(bytes); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	for _, path := range options.Namespaces {
		start(path, options)
	}
	serve.Ready()
	<-ctx.Done()
}

// start runs an engine on a thread inside the namespace at path. With SO_REUSEPORT, an
// engine of one loop accepts in that loop and saves gnet's acceptor thread.
func start(path string, options serve.Options) {
	server := &server{booted: make(chan struct{})}
	address := fmt.Sprintf("tcp4://0.0.0.0:%d", options.Port)
	go func() {
		err := serve.In(path, func() error {
			return gnet.Run(server, address, gnet.WithNumEventLoop(1), gnet.WithReusePort(true),
				gnet.WithReadBufferCap(options.BufferSize), gnet.WithLogLevel(logging.ErrorLevel))
		})
		log.Fatalf("gnet ended: %v", err)
	}()
	<-server.booted
}
