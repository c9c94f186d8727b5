package main

import (
	"bytes"
	"sync"
)

// A watcher keeps what a server writes to its standard error and closes ready when
// the line "ready" is part of it. It is safe for use by several goroutines.
type watcher struct {
	ready chan struct{}

	mu   sync.Mutex
	text []byte
	told bool
}

// Write keeps p. It never fails.
func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if !w.told && bytes.Contains(append([]byte("\n"), w.text...), []byte("\nready\n")) {
		w.told = true
		close(w.ready)
	}
	return len(p), nil
}

// String is everything but the line "ready".
func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(bytes.TrimPrefix(w.text, []byte("ready\n"))))
}
