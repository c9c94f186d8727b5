// Package progress shows how far a benchmark is.
package progress

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A Bar is a progress bar on the terminal or, where standard error is none, a plain line
// every now and then. It belongs to one goroutine.
type Bar struct {
	bar   *progressbar.ProgressBar
	total int
	done  int
	told  time.Time
	what  string
}

// between is how far plain lines are apart.
const between = 15 * time.Second

// New begins with nothing of total done.
func New(total int, what string) *Bar {
	b := &Bar{total: total, what: what, told: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		b.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionFullWidth(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return b
}

// Step says that one more is done, and what comes now.
func (b *Bar) Step(now string) {
	b.done++
	if b.bar != nil {
		b.bar.Describe(b.what + " " + now)
		_ = b.bar.Add(1) // a terminal that is gone is no reason to stop
		return
	}
	if time.Since(b.told) >= between {
		b.told = time.Now()
		fmt.Fprintf(os.Stderr, "%s: %d of %d, %s\n", b.what, b.done, b.total, now)
	}
}

// Finish takes the bar away.
func (b *Bar) Finish() {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
}
