// Package reactor is how the servers under measurement use nsreactor's engine.
package reactor

import (
	"log/slog"
	"os"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

// Config is an engine's configuration in which nothing differs from the default but
// what a server under measurement says, and how long it takes to end.
func Config(loops int) engine.Config {
	return engine.Config{
		Loops:        loops,
		DrainTimeout: 2 * time.Second, // clients that stay are cut off soon
		Logger:       slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// Attach attaches by descriptor rather than by path: the harness names namespaces by
// paths below /proc, where an engine that watches a path's folder would watch in vain.
func Attach(eng *engine.Engine, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = eng.Attach(nsctx.ByFD(int(file.Fd())))
	return err
}
