package middleware

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/nsreactor/nsreactor/engine"
)

// Tap writes out what the connections of a handler receive and send, for debugging: who,
// which way, at which offset, what. With TLS inside of it or around it, that is plain text.
// It writes on the loop: a Writer that blocks blocks all connections of the loop.
type Tap struct {
	// Writer gets a Write for every piece, one at a time. After its first error nothing
	// more is written; Err tells.
	Writer io.Writer
	// Hex shows bytes as hexdump -C does, instead of as a quoted string.
	Hex bool
	// MaxBytes is how many bytes of a connection are shown in each direction. Default:
	// 64 KiB; a negative number is no limit.
	MaxBytes int
	// Match chooses the connections, in OnOpen. Default: all.
	Match func(*engine.Conn) bool

	mu  sync.Mutex
	err error
}

// Err is the Writer's first error. Any goroutine may call it.
func (t *Tap) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Wrap is a [Middleware].
func (t *Tap) Wrap(h engine.Handler) engine.Handler { return &tapping{Base{h}, t} }

type tapping struct {
	Base
	*Tap
}

func (t *tapping) OnOpen(c *engine.Conn) {
	if t.Match == nil || t.Match(c) {
		most := t.MaxBytes
		if most == 0 {
			most = 64 << 10
		}
		w := &wiretap{tap: t.Tap, most: most, who: fmt.Sprintf("%s %v", c.Namespace().Name(), c.RemoteAddr())}
		c.SetValue(t, w)
		c.SetTap(w.show)
		w.line("open, port %d", c.Port())
	}
	t.Handler.OnOpen(c)
}

func (t *tapping) OnClose(c *engine.Conn, err error) {
	if w, ok := c.Value(t).(*wiretap); ok {
		w.line("closed: %v", err)
	}
	t.Base.OnClose(c, err)
}

// wiretap is the tap of a connection.
type wiretap struct {
	tap    *Tap
	who    string
	most   int
	passed [2]int // bytes, by direction
}

func (w *wiretap) show(_ *engine.Conn, d engine.Direction, p []byte) {
	at := w.passed[d]
	w.passed[d] += len(p)
	room := len(p)
	if w.most >= 0 {
		room = min(max(w.most-at, 0), len(p))
	}
	if room > 0 {
		w.line("%v %d+%d %s", d, at, len(p), w.tap.text(p[:room]))
	}
	if room < len(p) && at <= w.most {
		w.line("%v %d: no more is shown", d, at+room)
	}
}

func (t *Tap) text(p []byte) string {
	if t.Hex {
		return "\n" + strings.TrimSuffix(hex.Dump(p), "\n")
	}
	return fmt.Sprintf("%q", p)
}

func (w *wiretap) line(format string, args ...any) {
	w.tap.write(w.who + " " + fmt.Sprintf(format, args...) + "\n")
}

func (t *Tap) write(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		_, t.err = io.WriteString(t.Writer, s)
	}
}
