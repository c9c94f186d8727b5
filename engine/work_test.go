package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// worker is a handler that has something done for each byte that arrives.
func worker(do func(c *Conn, b byte)) hooks {
	return hooks{data: func(c *Conn) {
		p, _ := c.Next(c.Buffered())
		for _, b := range p {
			do(c, b)
		}
	}}
}

// reply is a Done that answers with a byte.
func reply(b byte) func(*Conn, error) {
	return func(c *Conn, err error) {
		if err != nil {
			b = '!'
		}
		_, _ = c.Write([]byte{b})
	}
}

// Work runs off the loop, many at once, and its results come back on it: as they
// are ready, or in order when asked.
func TestWorkComesBack(t *testing.T) {
	for name, inOrder := range map[string]bool{"as ready": false, "in order": true} {
		t.Run(name, func(t *testing.T) {
			gates := map[byte]chan struct{}{'a': make(chan struct{}), 'b': make(chan struct{}), 'c': make(chan struct{})}
			var running sync.WaitGroup
			running.Add(3)
			s := startServer(t, Config{}, worker(func(c *Conn, b byte) {
				unitMust(t, c.Go(Work{
					Run:  func(context.Context) error { running.Done(); <-gates[b]; return nil },
					Done: reply(b), InOrder: inOrder,
				}))
			}))
			c := s.dial()
			c.send([]byte("abc"))
			running.Wait()
			close(gates['c'])
			want := "abc"
			if !inOrder {
				want = "cab"
				if got := c.recv(1); string(got) != "c" {
					t.Errorf("got %q", got)
				}
				want = want[1:]
			}
			close(gates['a'])
			if got := c.recv(1); string(got) != "a" {
				t.Errorf("got %q", got)
			}
			close(gates['b'])
			if got := c.recv(len(want) - 1); string(got) != want[1:] {
				t.Errorf("got %q, want %q", got, want[1:])
			}
			if w := s.Stats().Work; w.Done != 3 || w.Running != 0 || w.RunSeconds.Count() != 3 || w.WaitSeconds.Count() != 3 {
				t.Errorf("%+v", w)
			}
		})
	}
}

// A connection that ends takes the context of its work along, and the result is
// dropped with the reason.
func TestWorkOfAClosedConnectionIsDropped(t *testing.T) {
	dropped, started := make(chan error, 1), make(chan struct{})
	cause := make(chan error, 1)
	s := startServer(t, Config{}, worker(func(c *Conn, _ byte) {
		unitMust(t, c.Go(Work{
			Run: func(ctx context.Context) error {
				close(started)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return nil
			},
			Done:    func(*Conn, error) { t.Error("Done was called") },
			Dropped: func(err error) { dropped <- err },
		}))
	}))
	c := s.dial()
	c.send([]byte("x"))
	<-started
	c.reset()
	if err := await(t, dropped, "Dropped"); !errors.Is(err, ErrClosed) {
		t.Errorf("dropped for %v", err)
	}
	if err := await(t, cause, "the context's end"); !errors.Is(err, ErrClosed) {
		t.Errorf("the context ended for %v", err)
	}
}

// Close waits for work: a client that has sent its last before the answers were
// ready still gets them.
func TestCloseWaitsForWork(t *testing.T) {
	gate, ended := make(chan struct{}), make(chan struct{})
	h := worker(func(c *Conn, b byte) {
		unitMust(t, c.Go(Work{Run: func(context.Context) error { <-gate; return nil }, Done: func(c *Conn, err error) {
			if b == 'a' { // and work may lead to work
				unitMust(t, c.Go(Work{Run: func(context.Context) error { return nil }, Done: reply('z')}))
			}
			reply(b)(c, err)
		}, InOrder: true}))
	})
	h.eof = func(c *Conn) { c.Close(); close(ended) }
	s := startServer(t, Config{}, h)
	c := s.dial()
	c.send([]byte("ab"))
	c.finish()
	<-ended
	close(gate)
	if got := string(c.recvAll()); got != "abz" && got != "azb" {
		t.Errorf("got %q", got)
	}
}

// A Close that comes after work was done and before the loop heard of it waits
// too: its answer was refused.
func TestCloseBehindWorkDone(t *testing.T) {
	var s *testServer
	s = startServer(t, Config{}, worker(func(c *Conn, b byte) {
		unitMust(t, c.Go(Work{Run: func(context.Context) error { return nil }, Done: reply(b)}))
		for s.loops[0].mail.empty() {
			runtime.Gosched()
		}
		c.Close()
	}))
	c := s.dial()
	c.send([]byte("a"))
	if got := string(c.recvAll()); got != "a" {
		t.Errorf("got %q", got)
	}
}

// Work that panics, or ends its goroutine, costs its connection and nothing else.
func TestWorkThatPanics(t *testing.T) {
	for name, run := range map[string]func(context.Context) error{
		"panic":  func(context.Context) error { panic("no") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
		"inside": nil,
	} {
		t.Run(name, func(t *testing.T) {
			w := Work{Run: run, Done: reply('x')}
			if run == nil {
				w.Run, w.InNamespace = func(context.Context) error { panic("no") }, true
			}
			dropped, ended := make(chan error, 1), make(chan error, 1)
			w.Dropped = func(err error) { dropped <- err }
			h := worker(func(c *Conn, b byte) {
				if b == 'p' {
					unitMust(t, c.Go(w))
					return
				}
				unitMust(t, c.Go(Work{Run: func(context.Context) error { return nil }, Done: reply(b)}))
			})
			h.closed = func(_ *Conn, err error) {
				if err != nil {
					ended <- err
				}
			}
			s := startServer(t, Config{Workers: 1}, h)
			other := s.dial()
			c := s.dial()
			c.send([]byte("p"))
			c.wantReset()
			var p *PanicError
			if err := await(t, ended, "OnClose"); !errors.As(err, &p) || len(p.Stack) == 0 {
				t.Errorf("OnClose got %v", err)
			}
			if err := await(t, dropped, "Dropped"); !errors.Is(err, ErrPanic) {
				t.Errorf("dropped for %v", err)
			}
			other.send([]byte("o"))
			if got := other.recv(1); string(got) != "o" {
				t.Errorf("the other got %q", got)
			}
			if n := s.stats().Errors[ErrorPanic]; n != 1 {
				t.Errorf("%d panics are counted", n)
			}
		})
	}
}

// Work that does not heed its context ends its connection, and does not keep the
// pool from the others.
func TestWorkThatNeverEnds(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	dropped, ended := make(chan error, 1), make(chan error, 1)
	h := worker(func(c *Conn, b byte) {
		if b == 's' {
			unitMust(t, c.Go(Work{
				Run: func(context.Context) error { close(started); <-release; return nil }, Timeout: patience, InOrder: true,
				Dropped: func(err error) { dropped <- err },
			}))
			return
		}
		unitMust(t, c.Go(Work{Run: func(context.Context) error { return nil }, Done: reply(b), Timeout: patience}))
	})
	h.closed = func(_ *Conn, err error) {
		if err != nil {
			ended <- err
		}
	}
	s := startServer(t, Config{Workers: 1, StallAfter: 20 * time.Millisecond}, h)
	other, c := s.dial(), s.dial()
	c.send([]byte("s"))
	<-started
	s.pool.mu.Lock()
	for j := range s.pool.running {
		j.due = 0
	}
	s.pool.mu.Unlock()
	other.send([]byte("o"))
	if err := await(t, ended, "OnClose"); !errors.Is(err, ErrWorkStuck) {
		t.Errorf("OnClose got %v", err)
	}
	if got := other.recv(1); string(got) != "o" {
		t.Errorf("the other got %q", got)
	}
	if w := s.Stats().Work; w.Stuck != 1 || w.GivenUp != 1 || s.stats().Errors[ErrorWorkStuck] != 1 {
		t.Errorf("%+v", w)
	}
	close(release)
	if err := await(t, dropped, "Dropped"); !errors.Is(err, ErrWorkStuck) {
		t.Errorf("dropped for %v", err)
	}
	if w := s.Stats().Work; w.Stuck != 0 {
		t.Errorf("%+v", w)
	}
}

// Work that waits for too long is told so instead of being run.
func TestWorkThatWaitedTooLong(t *testing.T) {
	gate, errs := make(chan struct{}), make(chan error, 1)
	s := startServer(t, Config{Workers: 1}, worker(func(c *Conn, b byte) {
		unitMust(t, c.Go(Work{Run: func(context.Context) error { <-gate; return nil }}))
		unitMust(t, c.Go(Work{
			Run:  func(context.Context) error { t.Error("it was run"); return nil },
			Done: func(_ *Conn, err error) { errs <- err }, Timeout: time.Nanosecond,
		}))
		close(gate)
	}))
	s.dial().send([]byte("x"))
	if err := await(t, errs, "Done"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Done got %v", err)
	}
}

// When half of the queue is full its connection is not read any more, and when all
// is, Go says so; nothing is lost of what was taken.
func TestWorkPushesBack(t *testing.T) {
	const queue, sent = 8, 100
	gate := make(chan struct{})
	var busy error
	s := startServer(t, Config{Workers: 1, WorkQueue: queue}, hooks{data: func(c *Conn) {
		for c.pause == 0 {
			b, err := c.Next(1)
			if err != nil {
				return
			}
			unitMust(t, c.Go(Work{Run: func(context.Context) error { <-gate; return nil }, Done: reply(b[0]), InOrder: true}))
		}
		for busy == nil { // as one that does not look at the pause
			busy = c.Go(Work{Run: func(context.Context) error { return nil }})
		}
	}})
	c := s.dial()
	c.send([]byte(strings.Repeat("x", sent)))
	for s.Stats().Work.Waiting < queue {
		runtime.Gosched()
	}
	close(gate)
	if got := c.recv(sent); string(got) != strings.Repeat("x", sent) {
		t.Errorf("got %q", got)
	}
	if !errors.Is(busy, ErrBusy) || s.Stats().Work.Busy == 0 || s.stats().Errors[ErrorBusy] == 0 {
		t.Errorf("Go says %v", busy)
	}
}

// Namespaces that have work waiting take turns, however much one of them has.
func TestWorkTakesTurns(t *testing.T) {
	l := unitLoop(t, Config{Workers: 1})
	var mu sync.Mutex
	var order []string
	gate := make(chan struct{})
	conns := map[string]*Conn{"a": unitConn(l, -1), "b": unitConn(l, -1), "c": unitConn(l, -1)}
	add := func(who string, n int) {
		for i := range n {
			unitMust(t, conns[who].Go(Work{Run: func(context.Context) error {
				<-gate
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprint(who, i))
				return nil
			}}))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.eng.background = ctx
	add("a", 5)
	add("b", 2)
	add("c", 1)
	close(gate)
	for l.eng.pool.snapshot().Done < 8 {
		runtime.Gosched()
	}
	if got := strings.Join(order, " "); got != "a0 a1 b0 c0 a2 b1 a3 a4" {
		t.Errorf("the order is %s", got)
	}
}

// Shutdown ends the contexts of work, drops what waits, and says what does not end.
func TestShutdownEndsWork(t *testing.T) {
	dropped := make(chan error, 2)
	h := worker(func(c *Conn, _ byte) {
		for range 2 {
			unitMust(t, c.Go(Work{
				Run:     func(ctx context.Context) error { <-ctx.Done(); return nil },
				Dropped: func(err error) { dropped <- err },
			}))
		}
	})
	s := startServer(t, Config{Workers: 1}, h)
	s.dial().send([]byte("x"))
	for s.Stats().Work.Waiting == 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, ErrDrained) {
		t.Errorf("Shutdown says %v", err)
	}
	for range 2 {
		if err := await(t, dropped, "Dropped"); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrStopped) {
			t.Errorf("dropped for %v", err)
		}
	}
}
