package trial

import (
	"bytes"
	"sync"
)

// A watcher keeps what a process writes and tells when a line was among it. It is safe
// for use by several goroutines.
type watcher struct {
	mu      sync.Mutex
	text    []byte
	waiting map[string]chan struct{}
	from    map[string]int // where the search for a line begins
}

// Write keeps p. It never fails.
func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	for line := range w.waiting {
		w.look(line)
	}
	return len(p), nil
}

// line returns a channel that is closed when a line has been written, after those that
// an earlier call has found.
func (w *watcher) line(line string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting, w.from = map[string]chan struct{}{}, map[string]int{}
	}
	found := make(chan struct{})
	w.waiting[line] = found
	w.look(line)
	return found
}

// look closes the channel of a line that is there.
func (w *watcher) look(line string) {
	start := w.from[line]
	rest := w.text[start:]
	if start == 0 {
		rest = append([]byte("\n"), rest...)
	}
	i := bytes.Index(rest, []byte("\n"+line+"\n"))
	if i < 0 {
		return
	}
	if start == 0 {
		i-- // the line break that was put before
	}
	w.from[line] = start + i + len(line) + 1
	close(w.waiting[line])
	delete(w.waiting, line)
}

// String is everything but the line "ready".
func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(bytes.TrimPrefix(w.text, []byte("ready\n"))))
}

// bytes is everything.
func (w *watcher) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.text)
}
