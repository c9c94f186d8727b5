// Command nsr is a server on nsreactor: one engine for all namespaces.
//
// At SIGTERM it prints its loops' counters as a line of JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"github.com/nsreactor/nsreactor/bench/internal/core"
	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/serve/reactor"
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
)

func main() {
	mode := flag.String("mode", "namespace", "any: never switch; namespace: the engine's default; always: in and back for each event")
	loops := flag.Int("loops", 1, "event loops")
	kind := flag.String("kind", "echo", "echo: return each message; http: answer GET /N with N bytes; table: package core")
	incoming := flag.Bool("incoming", false, "echo only: count how many of every 16th event are served on the CPU that received them")
	park := flag.Duration("park", 0, "how long an idle loop's thread stays in a namespace; 0 is the engine's default")
	options := serve.Parse(serve.WithMessages, serve.WithControl)
	ctx := serve.UntilTerminated()

	table := core.NewTable()
	handler, err := newHandler(*kind, &options.Messages, table)
	if err != nil {
		log.Fatal(err)
	}
	samples := new(sampler)
	if *kind == "echo" && *incoming {
		samples.messages = &options.Messages
		handler = samples
	}
	config := reactor.Config(*loops)
	config.ParkTimeout = *park
	eng, err := start(*mode, config, handler, &options)
	if err != nil {
		log.Fatal(err)
	}
	options.FollowStdin(func(path string) error { return reactor.Attach(eng, path) })
	serve.Ready()
	// A client that does not leave is not an error here.
	if err := eng.Run(ctx); err != nil && !errors.Is(err, engine.ErrDrained) && !errors.Is(err, context.DeadlineExceeded) {
		log.Fatal(err)
	}
	sum := count(eng.Stats(), options.Messages.Size, table)
	sum.Sampled, sum.OnReceiving = samples.sampled.Load(), samples.same.Load()
	serve.PrintCounters(sum)
}

// newHandler makes the handler of a kind.
func newHandler(kind string, messages *serve.Messages, table *core.Table) (engine.Handler, error) {
	switch kind {
	case "echo":
		if *messages == (serve.Messages{}) {
			return handlers.Echo{}, nil // the shipped one
		}
		return echo{messages: messages}, nil
	case "http":
		return newResponder(), nil
	case "table":
		if messages.Size < core.MinSize {
			return nil, fmt.Errorf("-size: want at least %d", core.MinSize)
		}
		return tableServer{messages: messages, table: table}, nil
	default:
		return nil, fmt.Errorf("-kind: want echo, http or table, got %q", kind)
	}
}

// start makes an engine that listens in every namespace.
func start(mode string, config engine.Config, handler engine.Handler, options *serve.Options) (*engine.Engine, error) {
	var handle []engine.HandleOption
	switch mode {
	case "any":
		handle = append(handle, engine.AnyNamespace)
	case "namespace":
	case "always":
		config.Switch = engine.SwitchAlways
	default:
		return nil, fmt.Errorf("-mode: want any, namespace or always, got %q", mode)
	}
	eng, err := engine.New(config)
	if err != nil {
		return nil, err
	}
	if err := eng.Handle("tcp", options.Port, handler, handle...); err != nil {
		return nil, err
	}
	for _, path := range options.Namespaces {
		if err := reactor.Attach(eng, path); err != nil {
			return nil, err
		}
	}
	return eng, nil
}

// counters are sums over all loops and namespaces.
type counters struct {
	Events   uint64 `json:"events"`
	Waits    uint64 `json:"epoll_waits"`
	Switches uint64 `json:"switches"`
	Messages uint64 `json:"messages,omitempty"` // if their size is known
	Updates  uint64 `json:"updates"`            // of the table
	// Of the events looked at, those on the CPU that received them; with -incoming.
	Sampled     uint64 `json:"sampled,omitempty"`
	OnReceiving uint64 `json:"on_receiving_cpu,omitempty"`
}

// count adds up what the engine counts anyway.
func count(stats engine.Stats, size int, table *core.Table) counters {
	sum := counters{Updates: table.Updates()}
	for _, loop := range stats.Loops {
		sum.Events += loop.Events
		sum.Waits += loop.Waits
		sum.Switches += loop.Switches
	}
	bytes := stats.Gone.BytesIn
	for _, ns := range stats.Namespaces {
		bytes += ns.BytesIn
	}
	if size > 0 {
		sum.Messages = bytes / uint64(size)
	}
	return sum
}
