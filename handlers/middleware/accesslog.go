package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/handlers/tally"
)

// AccessLog writes a line for every connection, when it is closed: its namespace, port,
// peer and own address, what a PROXY header declared, the bytes as on the wire, how long it
// took, and what ended it ([Kind]) if that was an error.
type AccessLog struct {
	// Logger is where to. Default: slog.Default().
	Logger *slog.Logger
	// Level is the lines'. A connection that was opened while the Logger doesn't have it
	// is not logged, and costs nothing. Default: slog.LevelInfo.
	Level slog.Leveler
	// OnlyErrors leaves out connections that have ended in order.
	OnlyErrors bool
	// Every leaves out all but one in so many of those that have ended in order. 0 is 1.
	Every uint64

	orderly         atomic.Uint64
	written, passed atomic.Uint64
}

// AccessLogStats is what an AccessLog has done.
type AccessLogStats struct {
	Written uint64 // lines
	Passed  uint64 // connections left out, for OnlyErrors or Every
}

// Stats may be called by any goroutine.
func (a *AccessLog) Stats() AccessLogStats { return AccessLogStats{a.written.Load(), a.passed.Load()} }

// Counters are the Stats, for metrics.
func (a *AccessLog) Counters() []tally.Sample {
	s := a.Stats()
	return []tally.Sample{
		tally.Count("access_log_lines_total", "Connections that have a line in the access log.", s.Written),
		tally.Count("access_log_passed_total", "Connections that the access log has left out.", s.Passed),
	}
}

// Annotate adds to the connection's line in the access log, if there is to be one: who has
// logged in, what was asked for. It belongs to the connection's callbacks, OnClose
// included.
func Annotate(c *engine.Conn, attrs ...slog.Attr) {
	if e, ok := c.Value(visitKey).(*visit); ok {
		e.attrs = append(e.attrs, attrs...)
	}
}

// visitKey is the connection's value that is its visit.
var visitKey = new(struct{ _ byte })

// visit is what is kept of a connection for its line.
type visit struct {
	opened time.Time
	local  netip.AddrPort // it can't be asked for any more when the connection is closed
	attrs  []slog.Attr
}

// Wrap is a [Middleware].
func (a *AccessLog) Wrap(h engine.Handler) engine.Handler {
	w := &logging{Base: Base{h}, AccessLog: a, logger: a.Logger, level: slog.LevelInfo}
	if w.logger == nil {
		w.logger = slog.Default()
	}
	if a.Level != nil {
		w.level = a.Level
	}
	return w
}

type logging struct {
	Base
	*AccessLog
	logger *slog.Logger
	level  slog.Leveler
}

func (w *logging) OnOpen(c *engine.Conn) {
	if w.logger.Enabled(context.Background(), w.level.Level()) {
		c.CountBytes()
		c.SetValue(visitKey, &visit{opened: c.Now(), local: c.LocalAddr()})
	}
	w.Handler.OnOpen(c)
}

// OnClose writes the line after the handler had its say, which may have to add to it, and
// even if that panics.
func (w *logging) OnClose(c *engine.Conn, err error) {
	if v, ok := c.Value(visitKey).(*visit); ok && w.wanted(err) {
		defer w.write(c, v, err)
	}
	w.Base.OnClose(c, err)
}

// wanted reports whether a connection that ends so is to have a line.
func (w *logging) wanted(err error) bool {
	if errors.Is(err, engine.ErrDetached) {
		err = nil // it goes on elsewhere
	}
	if err == nil && (w.OnlyErrors || w.orderly.Add(1)%max(w.Every, 1) != 0) {
		w.passed.Add(1)
		return false
	}
	return true
}

func (w *logging) write(c *engine.Conn, v *visit, err error) {
	in, out := c.Traffic()
	ns := c.Namespace()
	attrs := make([]slog.Attr, 0, 11+len(v.attrs))
	attrs = append(attrs,
		slog.String("netns", ns.Name()), slog.String("netns_id", ns.ID().String()), slog.Int("port", c.Port()),
		slog.String("peer", c.RemoteAddr().String()), slog.String("local", v.local.String()))
	if client := ClientAddr(c); client != c.RemoteAddr() {
		attrs = append(attrs, slog.String("client", client.String()))
	}
	attrs = append(attrs,
		slog.Uint64("bytes_in", in), slog.Uint64("bytes_out", out), slog.Duration("duration", c.Now().Sub(v.opened)))
	if err != nil {
		attrs = append(attrs, slog.String("kind", Kind(err)), slog.String("err", err.Error()))
	}
	w.written.Add(1)
	w.logger.LogAttrs(context.Background(), w.level.Level(), "connection", append(attrs, v.attrs...)...)
}
