// Command nsr is an echo server on nsreactor: one engine for all namespaces.
//
// At SIGTERM it prints its loops' counters as a line of JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// echo returns what arrives.
type echo struct{ engine.BaseHandler }

// OnData answers with all that has arrived.
func (echo) OnData(c *engine.Conn) {
	bytes, _ := c.Peek(-1) // asks for what there is, so it can't be short
	if _, err := c.Write(bytes); err != nil {
		c.CloseNow()
		return
	}
	c.Discard(len(bytes))
}

func main() {
	mode := flag.String("mode", "namespace", "any: never switch; namespace: the engine's default; always: in and back for each event")
	loops := flag.Int("loops", 1, "event loops")
	options := serve.Parse()
	ctx := serve.UntilTerminated()

	eng, err := start(*mode, *loops, options)
	if err != nil {
		log.Fatal(err)
	}
	serve.Ready()
	if err := eng.Run(ctx); err != nil {
		log.Fatal(err)
	}
	if err := printCounters(eng.Stats()); err != nil {
		log.Fatal(err)
	}
}

// start makes an engine that listens in every namespace.
func start(mode string, loops int, options serve.Options) (*engine.Engine, error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	config := engine.Config{Loops: loops, Logger: logger}
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
	if err := eng.Handle("tcp", options.Port, echo{}, handle...); err != nil {
		return nil, err
	}
	for _, path := range options.Namespaces {
		if err := attach(eng, path); err != nil {
			return nil, err
		}
	}
	return eng, nil
}

// attach attaches by descriptor rather than by path: the harness names namespaces by
// paths below /proc, where an engine that watches a path's folder would watch in vain.
func attach(eng *engine.Engine, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = eng.Attach(nsctx.ByFD(int(file.Fd())))
	return err
}

// printCounters prints the sums over all loops.
func printCounters(stats engine.Stats) error {
	var sum struct {
		Events   uint64 `json:"events"`
		Waits    uint64 `json:"epoll_waits"`
		Switches uint64 `json:"switches"`
	}
	for _, loop := range stats.Loops {
		sum.Events += loop.Events
		sum.Waits += loop.Waits
		sum.Switches += loop.Switches
	}
	return json.NewEncoder(os.Stdout).Encode(sum)
}
