// Command nbioecho is an echo server on lesismal/nbio: one engine with one poller for
// all namespaces. Its Listen option is used to open the listeners inside them; nbio
// accepts with a goroutine for each listener.
package main

import (
	"log"
	"net"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

func main() {
	options := serve.Parse()
	ctx := serve.UntilTerminated()
	logging.SetLevel(logging.LevelError)
	engine := nbio.NewEngine(nbio.Config{
		Network:        "tcp4",
		Addrs:          options.Namespaces, // nbio hands each to Listen
		NPoller:        1,
		ReadBufferSize: options.BufferSize,
		Listen: func(_, path string) (net.Listener, error) {
			return serve.Listen(path, options.Port)
		},
	})
	engine.OnData(echo)
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	serve.Ready()
	<-ctx.Done()
}

// echo returns what has arrived. Write copies what the kernel does not take at once; on
// an error it closes the connection.
func echo(c *nbio.Conn, bytes []byte) {
	_, _ = c.Write(bytes)
}
