// Command gnetecho is an echo server on gnet, which knows nothing of namespaces. It can
// be used in two ways:
//
//   - -engines 0, gnet as it is meant: an engine with one loop for each namespace. gnet
//     makes an engine's listeners itself, on one thread, so an engine can't listen in
//     more than one.
//   - -engines 1, gnet at its best: one loop for all namespaces. Package net listens and
//     accepts, with a goroutine for each namespace, and gnet.Client.Enroll, which gnet
//     has for connections made elsewhere, gives what was accepted to the loop. Accepting
//     costs more then, and serving is what gnet would do without namespaces.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/gnets"
)

// server is the handler of an engine.
type server struct {
	gnets.Base
	messages *serve.Messages
}

// OnTraffic returns what has arrived, whole messages only.
func (s *server) OnTraffic(conn gnet.Conn) gnet.Action {
	n := s.messages.Complete(conn.InboundBuffered())
	if n == 0 {
		return gnet.None
	}
	bytes, err := conn.Next(n)
	if err != nil {
		return gnet.Close
	}
	s.messages.Compute(n)
	if _, err := conn.Write(bytes); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	engines := flag.Int("engines", 0, "0: an engine for each namespace; 1: one for all")
	options := serve.Parse(serve.WithMessages)
	ctx := serve.UntilTerminated()
	if err := start(*engines, &options); err != nil {
		log.Fatal(err)
	}
	serve.Ready()
	<-ctx.Done()
}

// start listens in all namespaces.
func start(engines int, options *serve.Options) error {
	switch engines {
	case 0:
		return startMany(options)
	case 1:
		return startOne(options)
	default:
		return fmt.Errorf("-engines: want 0 or 1, got %d", engines)
	}
}

// startMany starts an engine for each namespace.
func startMany(options *serve.Options) error {
	for _, path := range options.Namespaces {
		handler := &server{messages: &options.Messages}
		if err := gnets.Start(handler, path, options.Port, gnets.Options(*options)...); err != nil {
			return err
		}
	}
	return nil
}

// startOne starts one engine and gives it what is accepted in all namespaces. It is a
// gnet.Client, which is an engine without a listener; Engine.Register would do the same
// for an engine with one that nobody needs.
func startOne(options *serve.Options) error {
	client, err := gnet.NewClient(&server{messages: &options.Messages}, gnets.Options(*options)...)
	if err != nil {
		return err
	}
	if err := client.Start(); err != nil {
		return err
	}
	for _, path := range options.Namespaces {
		listener, err := serve.Listen(path, options.Port)
		if err != nil {
			return err
		}
		go enrol(listener, client)
	}
	return nil
}

// enrol gives what a listener accepts to the engine.
func enrol(listener net.Listener, client *gnet.Client) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		if _, err := client.Enroll(conn); err != nil {
			log.Fatal(err)
		}
	}
}
