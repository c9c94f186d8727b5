package regress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/nsreactor/nsreactor/bench/internal/serve"
	"github.com/nsreactor/nsreactor/bench/internal/trial"
	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers"
	"github.com/nsreactor/nsreactor/nsctx"
)

// The structure's load: one message at a time, each to another namespace than the one
// before, so that every event is a batch of its own and what it costs can be counted.
const (
	structureNamespaces = 8
	structureMessages   = 400
	structurePort       = 7700
)

// modes are the engine's, by their names.
var modes = []string{"any", "namespace", "always"}

// structure counts what a message costs in events, switches, allocations and system
// calls. None of it depends on time.
func structure(ctx context.Context, host *trial.Host) ([]Metric, error) {
	var all []Metric
	for _, mode := range modes {
		counted, err := countEvents(ctx, host, mode)
		if err != nil {
			return nil, fmt.Errorf("mode %s: %w", mode, err)
		}
		calls, err := countCalls(ctx, host, mode)
		if err != nil {
			return nil, fmt.Errorf("mode %s: %w", mode, err)
		}
		all = append(append(all, counted...), calls...)
	}
	return all, nil
}

// countEvents counts by the engine's own statistics, in this process.
func countEvents(ctx context.Context, host *trial.Host, mode string) (metrics []Metric, err error) {
	eng, err := startEngine(host, mode)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, eng.Shutdown(ctx)) }()
	clients, err := dialAll(host)
	if err != nil {
		return nil, err
	}
	defer closeAll(clients)
	if err := converse(clients, 2*len(clients)); err != nil { // buffers and thread caches are there after this
		return nil, err
	}
	before, mallocs := settled(eng), allocations()
	if err := converse(clients, structureMessages); err != nil {
		return nil, err
	}
	mallocs = allocations() - mallocs
	after := settled(eng)
	return []Metric{
		exact(mode+": events a message", each(int(after.Events-before.Events))),
		exact(mode+": switches a message", each(int(after.Switches-before.Switches))),
		// The runtime itself allocates a few times a second; a message that did would show as 1.
		exact(mode+": allocations a message", float64(mallocs/structureMessages)),
	}, nil
}

func exact(name string, value float64) Metric { return Metric{Name: name, Value: value, Exact: true} }

// startEngine serves echo in the first namespaces.
func startEngine(host *trial.Host, mode string) (*engine.Engine, error) {
	config := engine.Config{Loops: 1, ParkTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)}
	var options []engine.HandleOption
	switch mode {
	case "any":
		options = append(options, engine.AnyNamespace)
	case "always":
		config.Switch = engine.SwitchAlways
	}
	eng, err := engine.New(config)
	if err != nil {
		return nil, err
	}
	if err := eng.Handle("tcp", structurePort, handlers.Echo{}, options...); err != nil {
		return nil, err
	}
	for i := range structureNamespaces {
		if _, err := eng.Attach(nsctx.ByFD(host.Spaces.FD(i))); err != nil {
			return nil, err
		}
	}
	return eng, nil
}

// dialAll connects once from inside each of the first namespaces.
func dialAll(host *trial.Host) ([]net.Conn, error) {
	var clients []net.Conn
	for i := range structureNamespaces {
		err := serve.In(host.Spaces.Path(i), func() error {
			conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", structurePort))
			if err == nil {
				clients = append(clients, conn)
			}
			return err
		})
		if err != nil {
			closeAll(clients)
			return nil, err
		}
	}
	return clients, nil
}

func closeAll(clients []net.Conn) {
	for _, conn := range clients {
		_ = conn.Close()
	}
}

// patience is how long an answer may take before its absence is a failure.
const patience = 30 * time.Second

// converse sends messages one at a time, to one client after the other, and waits for
// each answer.
func converse(clients []net.Conn, messages int) error {
	message, answer := []byte("one message of 32 bytes exactly."), make([]byte, 32)
	for i := range messages {
		conn := clients[i%len(clients)]
		if i < len(clients) {
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
		}
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
	}
	return nil
}

// settled is the loop's statistics once it has nothing more to do: it publishes some of
// them only before it sleeps.
func settled(eng *engine.Engine) engine.LoopStats {
	last := eng.Stats().Loops[0]
	for calm := 0; calm < 3; {
		time.Sleep(10 * time.Millisecond)
		now := eng.Stats().Loops[0]
		calm++
		if now.Switches != last.Switches || now.Events != last.Events || now.Waits != last.Waits {
			calm = 0
		}
		last = now
	}
	return last
}

// allocations is how often this process has allocated.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
