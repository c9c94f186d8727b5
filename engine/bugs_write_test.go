package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Pain 7: the callback of an asynchronous write to a connection that is closed
// is skipped (gnet #465) and its memory kept (#672); after Stop the call says
// nil and the callback never runs (gnet, reproduced). Here done is called
// once, whatever state the connection is in, and says why not.
func TestAsyncWriteAnswersOnce(t *testing.T) {
	for _, state := range []struct {
		name  string
		cfg   Config
		bring func(*testing.T, *testServer, *Conn) // into the state
		size  int
		want  error
	}{
		{"open", Config{}, func(*testing.T, *testServer, *Conn) {}, 1, nil},
		{"closing", Config{}, func(_ *testing.T, _ *testServer, c *Conn) { c.Close() }, 1, ErrClosed},
		{"write half closed", Config{}, func(_ *testing.T, _ *testServer, c *Conn) { c.CloseWrite() }, 1, ErrClosed},
		{"closed", Config{}, func(_ *testing.T, _ *testServer, c *Conn) { c.CloseNow() }, 1, ErrClosed},
		{"too much", Config{WriteBufferMax: 64 << 10}, func(*testing.T, *testServer, *Conn) {}, 64<<10 + 1, ErrOverflow},
		{"engine stopped", Config{}, func(_ *testing.T, s *testServer, _ *Conn) { s.cutOff() }, 1, ErrStopped},
		{"handler panics in done before", Config{}, func(_ *testing.T, _ *testServer, c *Conn) {
			c.AsyncWrite(nil, func(error) { panic("boom") })
		}, 1, ErrClosed},
	} {
		t.Run(state.name, func(t *testing.T) {
			opened := make(chan *Conn, 1)
			s := startServer(t, state.cfg, hooks{open: func(c *Conn) { opened <- c }})
			s.dial()
			c := await(t, opened, "a connection")
			state.bring(t, s, c)
			var answers atomic.Int32
			answer := make(chan error, 2)
			c.AsyncWrite(make([]byte, state.size), func(err error) {
				answers.Add(1)
				answer <- err
			})
			if err := await(t, answer, "done"); !errors.Is(err, state.want) {
				t.Errorf("done(%v), want %v", err, state.want)
			}
			s.cutOff() // would be the last chance for a second answer
			if n := answers.Load(); n != 1 {
				t.Errorf("done was called %d times", n)
			}
		})
	}
}

// Pain 7 during Shutdown, where calls are in every stage of acceptance: each
// of them is answered, and once.
func TestAsyncWriteAnswersDuringShutdown(t *testing.T) {
	for range 10 {
		opened := make(chan *Conn, 4)
		s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{open: func(c *Conn) { opened <- c }})
		var asked, answered atomic.Int64
		var twice atomic.Bool
		var callers sync.WaitGroup
		for range cap(opened) {
			client := s.dial()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			c := await(t, opened, "a connection")
			callers.Go(func() {
				for stopped := false; !stopped; {
					answer := make(chan error, 1)
					asked.Add(1)
					c.AsyncWrite([]byte("x"), func(err error) {
						answered.Add(1)
						select {
						case answer <- err:
						default:
							twice.Store(true)
						}
					})
					stopped = errors.Is(await(t, answer, "done"), ErrStopped)
				}
			})
		}
		s.cutOff()
		awaitAll(t, &callers, "the callers")
		if asked.Load() != answered.Load() || twice.Load() {
			t.Fatalf("%d writes, %d answers", asked.Load(), answered.Load())
		}
	}
}

// Pain 10: a peer that does not read makes the server run out of memory (gnet
// #420, #712, #722; netty #7123). An echo that ignores all marks must not hold
// more than the high-water mark and one read: above it, reading pauses.
func TestSlowReaderIsNotReadFrom(t *testing.T) {
	cfg := Config{WriteHighWater: 64 << 10, ReadChunk: 16 << 10}
	limit := cfg.WriteHighWater + cfg.ReadChunk
	var most, drained atomic.Int64
	opened := make(chan *Conn, 1)
	s := startServer(t, cfg, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			echo(c)
			most.Store(max(most.Load(), int64(c.Unsent())))
		},
		writable: func(c *Conn) {
			drained.Add(1)
			if c.Unsent() > cfg.WriteHighWater/2 {
				t.Errorf("OnWritable with %d bytes unsent", c.Unsent())
			}
		},
	})
	client := s.dialSmall(16 << 10)
	c := await(t, opened, "a connection")
	data := pattern(10, 32<<20)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(data)
		sent <- err
	}()
	awaitUntil(t, "reading pauses", func() bool {
		paused := false
		onConn(t, c, func(c *Conn) { paused = c.pause&pausedByOutput != 0 && c.Unsent() > cfg.WriteHighWater })
		return paused
	})
	s.mustBeQuiet(0, "a slow reader's connection is paused")
	wantSame(t, client.recv(len(data)), data)
	if err := await(t, sent, "the client to have sent all"); err != nil {
		t.Fatal(err)
	}
	if most.Load() > int64(limit) {
		t.Errorf("%d bytes were held for a slow reader, want %d at most", most.Load(), limit)
	}
	if drained.Load() == 0 {
		t.Error("OnWritable was never called")
	}
}

// Pain 10, for a handler that goes on writing all the same: at WriteBufferMax a
// Write takes nothing and says so, and all that was taken arrives. OnWritable
// comes when the peer has caught up.
func TestWriteBufferIsBounded(t *testing.T) {
	cfg := Config{WriteHighWater: 32 << 10, WriteBufferMax: 256 << 10}
	opened, writable := make(chan *Conn, 1), make(chan int, 1)
	s := startServer(t, cfg, hooks{
		open:     func(c *Conn) { opened <- c },
		writable: func(c *Conn) { writable <- c.Unsent() },
	})
	client := s.dialSmall(16 << 10)
	c := await(t, opened, "a connection")
	taken := 0
	data := pattern(1, 64<<20)
	onConn(t, c, func(c *Conn) {
		for size := 1; ; size = size*3%(40<<10) + 1 {
			n, err := c.Write(data[taken : taken+size])
			taken += n
			if c.Unsent() > cfg.WriteBufferMax {
				t.Errorf("%d bytes are held, want %d at most", c.Unsent(), cfg.WriteBufferMax)
			}
			if err == nil {
				continue
			}
			var e *Error
			if !errors.Is(err, ErrOverflow) || !errors.As(err, &e) || n != 0 {
				t.Errorf("Write beyond the limit: %d, %v, want 0, ErrOverflow", n, err)
			}
			return
		}
	})
	if n := s.stats().Errors[ErrorOverflow]; n != 1 {
		t.Errorf("%d overflows counted, want 1", n)
	}
	select {
	case <-writable:
		t.Error("OnWritable was called before anything was read")
	default:
	}
	wantSame(t, client.recv(taken), data[:taken])
	if unsent := await(t, writable, "OnWritable"); unsent > cfg.WriteHighWater/2 {
		t.Errorf("OnWritable with %d bytes unsent", unsent)
	}
	onConn(t, c, func(c *Conn) {
		if _, err := c.Write([]byte("more")); err != nil {
			t.Errorf("Write after the overflow: %v", err)
		}
	})
	wantSame(t, client.recv(4), []byte("more"))
}

// Pain 13: half-close truncates the reply with a clean FIN (gnet delivered 4 of
// 32 MiB), or the loop spins on the hang-up meanwhile (mio #933). The client
// says all it has to say, shuts down its half, and reads slowly.
func TestHalfClosedPeerGetsItsWholeReply(t *testing.T) {
	reply := pattern(13, 32<<20)
	asked := make(chan struct{})
	ended := make(chan error, 1)
	s := startServer(t, Config{}, hooks{
		data: keep,
		eof: func(c *Conn) {
			request, _ := c.Next(c.Buffered())
			if string(request) != "all of it, please" {
				t.Errorf("the request is %q", request)
			}
			if n, err := c.Write(reply); n != len(reply) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
			c.Close()
			close(asked)
		},
		closed: func(_ *Conn, err error) { ended <- err },
	})
	client := s.dialSmall(64 << 10)
	client.send([]byte("all of it, please"))
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	await(t, asked, "the request")
	s.mustBeQuiet(0, "a half-closed peer does not read")
	before := s.loopStats()
	wantSame(t, client.recvAll(), reply)
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
	// Each event lets the kernel take a part of the reply, 4 KiB at least.
	after := s.loopStats()
	if events := after.Events - before.Events; events > uint64(len(reply)/4096) {
		t.Errorf("%d events for a reply of %d bytes", events, len(reply))
	}
}

// Pain 13 again: a handler that has not closed after the peer's half-close goes
// on sending, now and then, and the idle time between costs no events.
func TestHalfClosedPeerGoesOnReading(t *testing.T) {
	opened, half := make(chan *Conn, 1), make(chan struct{})
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		eof:  func(*Conn) { close(half) },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	await(t, half, "OnReadEOF")
	for i := range 3 {
		s.mustBeQuiet(0, "a half-closed connection is idle")
		news := fmt.Sprintf("news %d", i)
		c.AsyncWrite([]byte(news), nil)
		wantSame(t, client.recv(len(news)), []byte(news))
	}
	c.Close()
	client.wantEOF()
}

// Pain 14: what a partial write(2) leaves over is lost (evio #72; nbio's Write
// got 219 KB of 8 MiB through without an error, its Writev dropped the tail).
// 8 MiB take every way to a slow reader that there is, and arrive in order.
func TestPartialWritesLoseNothing(t *testing.T) {
	data := pattern(14, 8<<20)
	write := func(c *Conn, p []byte) {
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Errorf("Write of %d bytes: %d, %v", len(p), n, err)
		}
	}
	chunks := func(size func(i int) int, each func([]byte)) {
		for i, rest := 0, data; len(rest) > 0; i++ {
			n := min(size(i), len(rest))
			each(rest[:n])
			rest = rest[n:]
		}
	}
	for _, path := range []struct {
		name string
		send func(*Conn) // on the loop
	}{
		{"one large write", func(c *Conn) { write(c, data) }},
		{"small writes, coalesced", func(c *Conn) {
			chunks(func(int) int { return 1000 }, func(p []byte) { write(c, p) })
		}},
		{"large writes", func(c *Conn) {
			chunks(func(int) int { return 100_000 }, func(p []byte) { write(c, p) })
		}},
		{"small before large", func(c *Conn) {
			chunks(func(i int) int { return []int{10, 300_000, 5000, 3000, directWrite, directWrite - 1}[i%6] },
				func(p []byte) { write(c, p) })
		}},
		{"the caller's memory changes", func(c *Conn) {
			var mine [50_000]byte
			chunks(func(int) int { return len(mine) }, func(p []byte) {
				n := copy(mine[:], p)
				write(c, mine[:n])
				clear(mine[:])
			})
		}},
		{"AsyncWrite", func(c *Conn) {
			chunks(func(i int) int { return 1 + i*7919%60_000 }, func(p []byte) { c.AsyncWrite(p, nil) })
		}},
		{"from other callbacks", func(c *Conn) {
			chunks(func(i int) int { return 1 + i*7919%60_000 }, func(p []byte) { c.Call(func(c *Conn) { write(c, p) }) })
		}},
	} {
		t.Run(path.name, func(t *testing.T) {
			opened := make(chan *Conn, 1)
			s := startServer(t, Config{}, hooks{open: func(c *Conn) { opened <- c }})
			client := s.dialSmall(32 << 10)
			c := await(t, opened, "a connection")
			onConn(t, c, path.send)
			wantSame(t, client.recv(len(data)), data)
			onConn(t, c, func(*Conn) {}) // the last write has been counted
			if out := s.stats().BytesOut; out != uint64(len(data)) {
				t.Errorf("%d bytes counted, want %d", out, len(data))
			}
			c.Close()
			client.wantEOF()
		})
	}
}

// Pain 16: stopping truncates replies that are queued (gnet: 4 of 32 MiB). A
// Shutdown within its time delivers them to a reader that only starts when
// told of it, and ends without an error.
func TestShutdownDeliversQueuedReplies(t *testing.T) {
	reply := pattern(16, 32<<20)
	queued, draining := make(chan struct{}), make(chan struct{})
	s := startServer(t, Config{}, hooks{
		data: func(c *Conn) {
			c.Discard(c.Buffered())
			if _, err := c.Write(reply); err != nil {
				t.Errorf("Write: %v", err)
			}
			close(queued)
		},
		drain: func(c *Conn) {
			if c.Unsent() == 0 {
				t.Error("nothing is left to deliver")
			}
			c.Close()
			close(draining)
		},
		closed: func(_ *Conn, err error) {
			if err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		},
	})
	client := s.dialSmall(64 << 10)
	client.send([]byte("go"))
	await(t, queued, "the reply")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(soon(t)) }()
	await(t, draining, "OnDrain")
	wantSame(t, client.recvAll(), reply)
	_ = client.Close()
	if err := await(t, stopped, "Shutdown"); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Pain 16: stopping takes half a second where there is nothing to wait for
// (gnet). All timeouts are an hour here, so that a Shutdown that waits for one
// hangs.
func TestShutdownWaitsForNothing(t *testing.T) {
	hour := Config{
		Loops: 2, Accept: AcceptSpread, IdleTimeout: time.Hour, LingerTimeout: time.Hour, DrainTimeout: time.Hour,
		ParkTimeout: time.Hour, StallAfter: time.Hour,
	}
	for _, clients := range []int{0, 5} {
		t.Run(fmt.Sprint(clients, " idle clients"), func(t *testing.T) {
			s := startServer(t, hour, hooks{data: echo})
			var readers sync.WaitGroup
			for range clients {
				c := s.dial()
				c.roundTrip([]byte("hello"))
				readers.Go(func() {
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				})
			}
			stopped := make(chan error, 1)
			go func() { stopped <- s.Shutdown(context.Background()) }()
			if err := await(t, stopped, "Shutdown"); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			awaitAll(t, &readers, "the clients")
		})
	}
}

// Pain 16: what is still open at the deadline is reset, reported as such to its
// handler, and counted in Shutdown's error.
func TestShutdownResetsWhatIsLeft(t *testing.T) {
	var ended sync.Map
	s := startServer(t, Config{Loops: 2, Accept: AcceptSpread}, hooks{
		data: echo, drain: stay,
		closed: func(c *Conn, err error) { ended.Store(c.RemoteAddr(), err) },
	})
	clients := make([]*client, 6)
	for i := range clients {
		clients[i] = s.dial()
		clients[i].roundTrip([]byte("hello"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	if !errors.Is(err, ErrDrained) {
		t.Errorf("Shutdown: %v, want ErrDrained", err)
	}
	if want := fmt.Sprint(len(clients), " connections"); err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("Shutdown: %v, want it to say %q", err, want)
	}
	for _, c := range clients {
		c.wantReset()
		got, _ := ended.Load(c.addr())
		if err, _ := got.(error); !errors.Is(err, ErrDrained) {
			t.Errorf("OnClose got %v, want ErrDrained", got)
		}
	}
	if err := s.Shutdown(context.Background()); !errors.Is(err, ErrDrained) {
		t.Errorf("the second Shutdown: %v, want the first one's error", err)
	}
}

// Run ends with its context: an engine that is asked to stop and can is no
// error.
func TestRunEndsWithItsContext(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo})
	client := s.dial()
	client.roundTrip([]byte("hello"))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	client.roundTrip([]byte("still there"))
	select {
	case err := <-ran:
		t.Fatalf("Run returned early: %v", err)
	default:
	}
	cancel()
	client.wantEOF()
	_ = client.Close()
	if err := await(t, ran, "Run"); err != nil {
		t.Errorf("Run: %v", err)
	}
	if st := s.Stats(); !st.Stopped || !st.Draining {
		t.Errorf("after Run: stopped %v, draining %v", st.Stopped, st.Draining)
	}
}

// Run also ends when somebody else shuts the engine down.
func TestRunEndsWithShutdown(t *testing.T) {
	s := startServer(t, Config{}, hooks{})
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ran, "Run"); err != nil {
		t.Errorf("Run: %v", err)
	}
}
