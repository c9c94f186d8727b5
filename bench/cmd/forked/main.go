// Command forked is the paper's approach 1: a process for each namespace, and one more,
// the core, that owns what they share, the table of package core.
//
// A child is this program again, started in its namespace. It does the networking and
// asks the core for the requests of each read in one round trip over a socketpair. What
// can be done for the approach is done:
//
//   - A child runs nsreactor's engine with one loop and without switching, the cheapest
//     of the event loops that are measured here, in memory too.
//   - Only what the core needs crosses the socketpair: eight bytes a request. It keeps
//     message boundaries, so that neither side has to look for them.
//   - The core serves all children with one epoll (or -loops of them), not with a
//     goroutine each; a round trip costs it one recv(2) and one send(2).
//   - All calls on the socketpair are made without telling Go's scheduler, which has
//     nothing better to do meanwhile.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
)

func main() {
	isChild := flag.Bool("child", false, "for the program's own use: be a child")
	loops := flag.Int("loops", 1, "threads of the core")
	options := serve.Parse(serve.WithMessages, serve.WithControl)
	if options.Messages.Size < core.MinSize || *loops < 1 {
		log.Fatalf("want -size of at least %d and -loops of at least 1", core.MinSize)
	}
	ctx := serve.UntilTerminated()
	run := runCore
	if *isChild {
		run = runChild
	}
	if err := run(ctx, &options, *loops); err != nil {
		log.Fatal(err)
	}
}

// runCore starts the children and serves them until ctx ends.
func runCore(ctx context.Context, options *serve.Options, loops int) error {
	table := core.NewTable()
	servers, err := newCoreLoops(table, loops)
	if err != nil {
		return err
	}
	family := newFamily(servers)
	if err := family.addAll(options.Namespaces); err != nil {
		return err
	}
	options.FollowStdin(func(path string) error { return family.addAll([]string{path}) })
	serve.Ready()
	<-ctx.Done()
	family.end()
	serve.PrintCounters(map[string]uint64{"updates": table.Updates(), "children": family.size()})
	return nil
}
