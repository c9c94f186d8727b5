// Command threaded is the paper's approach 2: one process with a thread for each
// namespace, all of which work on one table (package core). A thread is the loop of a
// gnet engine.
//
// By default the loops are goroutines. Each is in epoll_wait(2), and so has a thread,
// whenever it has nothing to do; Go moves them about when they have. -locked is the
// paper's approach to the letter: a loop is locked to its thread, which lives in the
// namespace, so that handlers find themselves there. It costs more, since a locked
// goroutine can't be continued by the thread that happens to be running.
package main

import (
	"flag"
	"log"

	"github.com/panjf2000/gnet/v2"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/gnets"
)

// server is the handler of one namespace's engine.
type server struct {
	gnets.Base
	messages *serve.Messages
	table    *core.Table
	home     string // the namespace to move the loop's thread to, or "" if it is there
}

// OnOpen moves a locked loop into its namespace at its first connection, since gnet
// calls nothing on a loop's thread before.
func (s *server) OnOpen(gnet.Conn) ([]byte, gnet.Action) {
	if s.home != "" {
		if err := serve.Stay(s.home); err != nil {
			log.Fatal(err)
		}
		s.home = ""
	}
	return nil, gnet.None
}

// OnTraffic answers the requests that have arrived.
func (s *server) OnTraffic(conn gnet.Conn) gnet.Action {
	n := s.messages.Complete(conn.InboundBuffered())
	if n == 0 {
		return gnet.None
	}
	requests, err := conn.Next(n)
	if err != nil {
		return gnet.Close
	}
	s.messages.Compute(n)
	s.table.Serve(requests, s.messages.Size)
	if _, err := conn.Write(requests); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	locked := flag.Bool("locked", false, "lock each loop to its thread and move that into the namespace")
	options := serve.Parse(serve.WithMessages, serve.WithControl)
	if options.Messages.Size < core.MinSize {
		log.Fatalf("-size: want at least %d", core.MinSize)
	}
	ctx := serve.UntilTerminated()
	table := core.NewTable()
	add := func(path string) error { return start(path, table, &options, *locked) }
	for _, path := range options.Namespaces {
		if err := add(path); err != nil {
			log.Fatal(err)
		}
	}
	options.FollowStdin(add)
	serve.Ready()
	<-ctx.Done()
	serve.PrintCounters(map[string]uint64{"updates": table.Updates()})
}

// start starts the engine of the namespace at path.
func start(path string, table *core.Table, options *serve.Options, locked bool) error {
	handler := &server{messages: &options.Messages, table: table}
	if locked {
		handler.home = path
	}
	return gnets.Start(handler, path, options.Port, append(gnets.Options(*options), gnet.WithLockOSThread(locked))...)
}
