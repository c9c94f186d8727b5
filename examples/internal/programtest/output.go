package programtest

import (
	"bytes"
	"regexp"
	"sync"
	"testing"
	"time"
)

// Patience is met by a hang only.
const Patience = 60 * time.Second

// output is what a program prints. It can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

// Output is what the program has printed so far.
func (o *output) Output() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await waits until the output matches a regular expression, in which ^ and $ are the
// ends of a line, and returns what its last group matches.
func (o *output) Await(t *testing.T, pattern string) string {
	t.Helper()
	re, late := regexp.MustCompile("(?m)"+pattern), time.After(Patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if match := re.FindStringSubmatch(text); match != nil {
			return match[len(match)-1]
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in:\n%s", pattern, text)
		}
	}
}
