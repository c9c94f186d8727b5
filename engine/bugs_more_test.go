package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Resume of a connection whose input is at ReadBufferMax must call
// OnData for what is left, as Resume promises: the handler, which waits for that
// call, is otherwise never called again, since reading has stopped too.
func TestResumeDeliversAFullInput(t *testing.T) {
	const full = 64 << 10
	opened, heard := make(chan *Conn, 1), make(chan int, 100)
	s := startServer(t, Config{ReadBufferMax: full, ReadChunk: full}, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			if c.Buffered() == full {
				c.Pause() // until what it asks for elsewhere has come
				heard <- full
			}
		},
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	client.send(make([]byte, full))
	await(t, heard, "OnData")
	onConn(t, c, func(*Conn) {})
	c.Call((*Conn).Resume)
	await(t, heard, "OnData after Resume")
}

// Pain 12 in a proxy: a sink's OnWritable resumes the source, which has
// bytes left unread and its peer's FIN behind them. What was left must be
// delivered before OnReadEOF, which closes (BaseHandler) and so loses them.
func TestResumeByAnotherConnDeliversBeforeEOF(t *testing.T) {
	opened := make(chan *Conn, 2)
	var source, sink *Conn // the loop's
	var got atomic.Int64
	var once sync.Once
	wrote, ended := make(chan struct{}), make(chan struct{})
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			for c.Buffered() > 0 {
				got.Add(int64(c.Discard(1)))
				_, _ = sink.Write(make([]byte, 8<<20))
				if sink.Unsent() > c.loop.eng.cfg.WriteHighWater {
					c.Pause() // the sink's OnWritable will come
					break
				}
			}
			once.Do(func() { close(wrote) })
		},
		writable: func(c *Conn) { source.Resume() },
		closed: func(c *Conn, _ error) {
			if c == source {
				close(ended)
			}
		},
	})
	a := s.dial()
	first := await(t, opened, "the source")
	b := s.dialSmall(16 << 10)
	second := await(t, opened, "the sink")
	s.onLoop(0, func(*loop) {
		source, sink = first, second
		// Or the kernel might take all of a write, and there be no OnWritable.
		if err := unix.SetsockoptInt(sink.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10); err != nil {
			t.Error(err)
		}
	})
	release := s.hold(0)
	a.send([]byte("abcd"))
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	release()
	await(t, wrote, "the first write, which is too much while nobody reads")
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(io.Discard, b) })
	await(t, ended, "the source's end")
	if got.Load() != 4 {
		t.Errorf("%d of 4 bytes were handed over before OnReadEOF", got.Load())
	}
	_ = b.Close()
	awaitAll(t, &reader, "the sink's client")
}

// Pain 16: LingerTimeout is a time without progress, and the peer's
// progress is what it takes from the kernel's buffers, megabytes of them, when
// the engine has nothing left to write. A peer that reads slowly and steadily,
// for longer than LingerTimeout, gets everything.
func TestLingerSeesTheKernelsProgress(t *testing.T) {
	reply := pattern(5, 2<<20)
	ended := make(chan error, 1)
	s := startServer(t, Config{LingerTimeout: time.Second}, hooks{
		open:   func(c *Conn) { _, _ = c.Write(reply); c.Close() },
		closed: func(_ *Conn, err error) { ended <- err },
	})
	client := s.dialSmall(16 << 10)
	var got bytes.Buffer
	pace := time.NewTicker(50 * time.Millisecond) // 2.2 s in all, without a second's break
	defer pace.Stop()
	for {
		n, err := io.CopyN(&got, client, 48<<10)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("after %d bytes, %d at last: %v", got.Len(), n, err)
			}
			break
		}
		<-pace.C
	}
	_ = client.Close()
	if err := await(t, ended, "OnClose"); err != nil {
		t.Errorf("OnClose got %v, want nil", err)
	}
	wantSame(t, got.Bytes(), reply)
}

// Shutdown does not wait for a handler that never returns: it says which one it
// is and gives up, after its context has ended.
func TestShutdownGivesUpOnABlockedHandler(t *testing.T) {
	before := len(openDescriptors(t))
	s, held, free, release := blocked(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(ctx) }()
	err := await(t, stopped, "Shutdown")
	want := fmt.Sprintf("netns %q: loop %d is blocked by the handler of port 0", "home", held)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Shutdown: %v, want it to say %q", err, want)
	}
	_, _ = io.Copy(io.Discard, free) // it is over for this one, by a FIN and a reset
	// The handler returns after all: its loop ends like the other, and so does
	// all that the engine holds.
	release()
	await(t, s.loops[held].stopped, "the blocked loop's end")
	const clients = 2
	awaitUntil(t, "the engine's descriptors are closed", func() bool { return len(openDescriptors(t)) <= before+clients })
}

// The same with a context that never ends: Config.DrainTimeout, which
// "at most" bounds a Shutdown, is the end then.
func TestShutdownGivesUpAfterDrainTimeout(t *testing.T) {
	entered, let := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(let) })
	s := startServer(t, Config{StallAfter: 20 * time.Millisecond, DrainTimeout: 50 * time.Millisecond},
		hooks{data: func(c *Conn) {
			close(entered)
			<-let
		}})
	t.Cleanup(release)
	s.dial().send([]byte("x"))
	await(t, entered, "the handler to block")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	t.Cleanup(func() { release() })
	if err := await(t, stopped, "Shutdown"); err == nil {
		t.Error("Shutdown of a blocked handler returned nil")
	}
}

var aGoexit = mishap{"Goexit", runtime.Goexit, "runtime.Goexit was called"}

// After a Goexit the descriptor is not closed until the loop's next
// event, whenever that is.
func TestHandlerGoexitCostsItsConnection(t *testing.T) { testHandlerMishap(t, aGoexit) }
func TestGoexitInOnClose(t *testing.T)                 { testMishapInOnClose(t, aGoexit) }

// A Goexit in OnDrain ends the loop's goroutine in the middle of the
// drain: the connections after it are never told, the drain has no deadline,
// and Detach never ends.
func TestGoexitInOnDrain(t *testing.T) {
	const n = 5
	var told atomic.Int64
	s := startServer(t, Config{}, hooks{data: echo, drain: func(c *Conn) {
		if told.Add(1) == 1 {
			runtime.Goexit()
		}
		c.Close()
	}})
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = s.dial()
		clients[i].roundTrip([]byte("hello"))
	}
	detached := make(chan error, 1)
	go func() { detached <- s.Detach(soon(t), s.home) }()
	for _, c := range clients {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if err := await(t, detached, "Detach"); err != nil {
		t.Errorf("Detach: %v", err)
	}
	if told.Load() != n {
		t.Errorf("%d of %d were told of the drain", told.Load(), n)
	}
}

// A Goexit in an OnOpen that is called while the drain empties the
// backlog: the drain is forgotten, its listener never closed.
func TestGoexitInOnOpenDuringTheDrain(t *testing.T) {
	s := startServer(t, Config{}, hooks{open: func(*Conn) { runtime.Goexit() }})
	left := s.failAccept(s.ports[0], unix.EMFILE, 1<<60)
	s.dial()
	s.dial()
	awaitUntil(t, "the listener is paused", func() bool { return left.Load() < 1<<60 })
	left.Store(0)
	detached := make(chan error, 1)
	go func() { detached <- s.Detach(soon(t), s.home) }()
	if err := await(t, detached, "Detach"); err != nil {
		t.Errorf("Detach: %v", err)
	}
}

// A Goexit in an OnClose or a done that the end of the loop brings
// about: the loop is never finished, its descriptors stay open, its tasks are
// never answered, and Shutdown waits for its context and blames a handler that
// does not block.
func TestGoexitInTheLastOnClose(t *testing.T) {
	s := startServer(t, Config{}, hooks{data: echo, drain: stay, closed: func(*Conn, error) { runtime.Goexit() }})
	for range 3 {
		s.dial().roundTrip([]byte("hello"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil || strings.Contains(err.Error(), "blocked") {
		t.Errorf("Shutdown: %v", err)
	}
	await(t, s.loops[0].stopped, "the end of the loop")
}

// A drain gives those in the backlog their turn, since they have a
// connection as they see it. All of them: not only as many as AcceptBudget
// lets in at a time, and also those behind one whose OnOpen panics.
func TestDrainEmptiesTheBacklog(t *testing.T) {
	const n = 200
	for _, panics := range []int{-1, 5} {
		opened := 0 // the loop's
		s := startServer(t, Config{AcceptBudget: 16}, hooks{open: func(c *Conn) {
			opened++
			if opened == panics {
				panic(errBoom)
			}
			_, _ = c.Write([]byte("hi"))
		}})
		release := s.hold(0)
		fds := make([]int, n)
		for i := range fds {
			fd, err := rawDial(s.ports[0])
			if err != nil {
				t.Fatal(err)
			}
			fds[i] = fd
		}
		detached := make(chan error, 1)
		go func() { detached <- s.Detach(soon(t), s.home) }()
		awaitUntil(t, "the drain is on its way", func() bool { return s.Stats().Loops[0].Mailbox > 0 })
		release()
		served := 0
		for _, fd := range fds {
			got, err := unix.Read(fd, make([]byte, 4))
			if got == 2 {
				served++
			} else if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("read %d, %v", got, err)
			}
			_ = unix.Close(fd)
		}
		if err := await(t, detached, "Detach"); err != nil {
			t.Error(err)
		}
		want := n
		if panics > 0 {
			want-- // the one whose handler panicked
		}
		if served != want {
			t.Errorf("%d of %d in the backlog were served, want %d", served, n, want)
		}
	}
}

// A peer that has taken all that was left since lingering was last looked
// at has made progress like one that has taken a part: it has LingerTimeout from
// now to close its half. It is reset at once, with a reply it has not read yet
// in its buffers.
func TestLingerCountsTheLastBytes(t *testing.T) {
	opened := make(chan *Conn, 1)
	s := startServer(t, Config{LingerTimeout: time.Hour}, hooks{open: func(c *Conn) { opened <- c }})
	client := s.dial()
	c := await(t, opened, "a connection")
	c.Close()
	client.wantEOF()
	awaitUntil(t, "all is acknowledged", func() bool {
		held := 1
		onConn(t, c, func(c *Conn) { held = unacknowledged(c.fd) })
		return held == 0
	})
	onConn(t, c, func(c *Conn) {
		c.kernelHolds = 1000 // as the last look had found
		if !c.loop.peerTakes(c) {
			t.Error("a peer that has taken the last 1000 bytes is said to have taken nothing")
		}
		if c.loop.peerTakes(c) {
			t.Error("a peer that had nothing to take is said to have taken some")
		}
	})
}
