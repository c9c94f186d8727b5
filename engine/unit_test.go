package engine

import (
	"io"
	"log/slog"
	"testing"
	"time"
)

// unitHang is how long a wait for something certain may take. Only a hang does.
const unitHang = 30 * time.Second

func unitMust(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func unitFinish(tb testing.TB, done <-chan struct{}, what string) {
	tb.Helper()
	select {
	case <-done:
	case <-time.After(unitHang):
		tb.Fatalf("%s did not end", what)
	}
}

// unitEngine has a configuration, a clock and a log, and nothing that runs.
func unitEngine(tb testing.TB, cfg Config) *Engine {
	tb.Helper()
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg, err := cfg.withDefaults()
	unitMust(tb, err)
	e := &Engine{cfg: cfg, log: cfg.Logger, epoch: time.Now().Add(-time.Minute), failed: make(chan error, 1)}
	e.pool = newPool(e)
	return e
}

// unitLoop is a loop that does not run, for tests that play its part.
func unitLoop(tb testing.TB, cfg Config) *loop {
	tb.Helper()
	e := unitEngine(tb, cfg)
	l, err := newLoop(e, 0, -1)
	unitMust(tb, err)
	tb.Cleanup(func() {
		for i := range l.table.slots {
			if c := l.table.slots[i].conn; c != nil {
				l.dropBuffers(c) // no end of the connection does it
			}
		}
		unitMust(tb, l.poller.Close())
	})
	e.loops = []*loop{l}
	return l
}

// unitCell is a namespace's part on one loop.
func unitCell(e *Engine) *cell {
	ns := &Namespace{eng: e, released: make(chan struct{})}
	c := &cell{ns: ns, first: -1}
	ns.cells = []*cell{c}
	return c
}

// unitConn is a connection of a handler that needs no namespace.
func unitConn(l *loop, fd int) *Conn {
	cell := unitCell(l.eng)
	svc := &service{network: "tcp", port: 7, handler: BaseHandler{}, anywhere: true}
	ep := &endpoint{svc: svc, cell: cell, handler: svc.handler, anywhere: true, port: &port{svc: svc}}
	c := &Conn{loop: l, ep: ep, anywhere: true, fd: fd}
	c.token = l.table.put(c, nil)
	cell.add(c)
	l.stats.conns.inc()
	l.load.Add(1)
	return c
}
