package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Pain 11: a handler that does not keep up is sent ever more, and memory is the
// only limit (netpoll #348). What a handler leaves unread is kept up to
// ReadBufferMax; then reading stops, the peer feels it, and it goes on when
// the handler consumes.
func TestUnreadInputIsBounded(t *testing.T) {
	cfg := Config{ReadBufferMax: 256 << 10, ReadChunk: 64 << 10}
	opened := make(chan *Conn, 1)
	s := startServer(t, cfg, hooks{open: func(c *Conn) { opened <- c }, data: keep, eof: stay})
	client := s.dial()
	c := await(t, opened, "a connection")
	data := pattern(11, 32<<20)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(data)
		_ = client.CloseWrite()
		sent <- err
	}()
	var got bytes.Buffer
	for got.Len() < len(data) {
		want := min(cfg.ReadBufferMax, len(data)-got.Len())
		awaitUntil(t, "the buffer is full", func() bool {
			held := 0
			onConn(t, c, func(c *Conn) { held = c.Buffered() })
			return held >= want
		})
		onConn(t, c, func(c *Conn) {
			if c.Buffered() > cfg.ReadBufferMax+cfg.ReadChunk {
				t.Errorf("%d bytes are kept, want %d and one read at most", c.Buffered(), cfg.ReadBufferMax)
			}
			b, _ := c.Peek(-1)
			got.Write(b)
			c.Discard(len(b))
		})
	}
	if err := await(t, sent, "the client to have sent all"); err != nil {
		t.Fatal(err)
	}
	wantSame(t, got.Bytes(), data)
}

// Pain 11, the waiting: a connection whose buffer is full costs no events while
// its peer has more to send, or has closed.
func TestFullInputDoesNotSpin(t *testing.T) {
	opened := make(chan *Conn, 1)
	s := startServer(t, Config{ReadBufferMax: 64 << 10, ReadChunk: 64 << 10}, hooks{open: func(c *Conn) { opened <- c }, data: keep})
	client := s.dial()
	c := await(t, opened, "a connection")
	client.send(make([]byte, 96<<10)) // a third of it stays in the kernel
	awaitUntil(t, "the buffer is full", func() bool {
		full := false
		onConn(t, c, func(c *Conn) { full = c.pause&pausedByInput != 0 })
		return full
	})
	s.mustBeQuiet(0, "a connection's input is full")
	_ = client.CloseWrite()
	awaitUntil(t, "the FIN is there", func() bool { return tcpState(t, c) == unix.BPF_TCP_CLOSE_WAIT })
	s.mustBeQuiet(0, "a connection's input is full and its peer has half-closed")
}

// tcpState is the state of a connection in the kernel, tcp(7), TCP_INFO.
func tcpState(t testing.TB, c *Conn) (state uint8) {
	t.Helper()
	onConn(t, c, func(c *Conn) {
		info, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		state = info.State
	})
	return state
}

// Pause and Resume: what was left unread is delivered by a Resume in a later
// turn although nothing new arrives, which is where a loop that waits for
// readiness forgets it.
func TestResumeDeliversWhatWasLeft(t *testing.T) {
	opened := make(chan *Conn, 1)
	heard := make(chan string, 4)
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			b, _ := c.Next(1)
			c.Pause()
			heard <- string(b)
		},
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	client.send([]byte("abc"))
	for _, want := range []string{"a", "b", "c"} {
		if got := await(t, heard, "OnData"); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
		onConn(t, c, func(*Conn) {}) // another turn
		select {
		case got := <-heard:
			t.Fatalf("heard %q while paused", got)
		default:
		}
		c.Call((*Conn).Resume)
	}
	client.send([]byte("d"))
	if got := await(t, heard, "OnData"); got != "d" {
		t.Fatalf("heard %q, want d", got)
	}
}

// Pause stops the peer, not only the callbacks: the kernel's buffers fill, and
// nothing is read into ours.
func TestPauseStopsReading(t *testing.T) {
	opened := make(chan *Conn, 1)
	var got atomic.Int64
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { c.Pause(); opened <- c },
		data: func(c *Conn) { got.Add(int64(c.Discard(c.Buffered()))) },
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	const size = 1 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		sent <- err
	}()
	awaitUntil(t, "bytes wait in the kernel", func() bool { return waiting(t, c) > 0 })
	s.mustBeQuiet(0, "a paused connection is readable")
	if in := s.stats().BytesIn; in != 0 || got.Load() != 0 {
		t.Errorf("%d bytes were read, %d handed over, from a paused connection", in, got.Load())
	}
	c.Call((*Conn).Resume)
	awaitUntil(t, "all is read", func() bool { return got.Load() == size })
	if err := await(t, sent, "the client"); err != nil {
		t.Fatal(err)
	}
}

// waiting is how many bytes wait to be read in the kernel, tcp(7), SIOCINQ.
func waiting(t testing.TB, c *Conn) (n int) {
	t.Helper()
	onConn(t, c, func(c *Conn) {
		var err error
		if n, err = unix.IoctlGetInt(c.fd, unix.SIOCINQ); err != nil {
			t.Error(err)
		}
	})
	return n
}

// inKernel is how many bytes surely fit into a socket that nobody reads.
const inKernel = 32 << 10

// Pain 12: a loop that closes when it is told that the peer has shut down its
// half (EPOLLRDHUP) drops what it has not read yet (netty #4317, #6303; nbio
// lost 364 KB of 1 MiB). The server, which was paused, starts to read when the
// peer has ended: what fits is in the kernel then, with the FIN behind it if all
// of it does.
func TestUnreadDataSurvivesThePeersEnd(t *testing.T) {
	for _, end := range []struct {
		name string
		size int
		end  func(*client)
	}{
		{"close", inKernel, func(c *client) { _ = c.Close() }},
		{"half-close", inKernel, func(c *client) { _ = c.CloseWrite() }},
		{"close behind 1 MiB", 1 << 20, func(c *client) { _ = c.Close() }},
		{"half-close behind 1 MiB", 1 << 20, func(c *client) { _ = c.CloseWrite() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			data := pattern(12, end.size)
			opened, all, ended := make(chan *Conn, 1), make(chan []byte, 1), make(chan error, 1)
			var got []byte // the loop's
			s := startServer(t, Config{}, hooks{
				open: func(c *Conn) { opened <- c },
				data: func(c *Conn) {
					b, _ := c.Next(c.Buffered())
					got = append(got, b...)
				},
				eof: func(c *Conn) {
					all <- got
					c.Close()
				},
				closed: func(_ *Conn, err error) { ended <- err },
			})
			client := s.dial()
			c := await(t, opened, "a connection")
			onConn(t, c, (*Conn).Pause) // a turn later: the poller knows it
			client.send(data)
			end.end(client)
			if end.size == inKernel {
				awaitUntil(t, "the FIN is there", func() bool { return tcpState(t, c) == unix.BPF_TCP_CLOSE_WAIT })
			}
			s.mustBeQuiet(0, "a paused connection's peer has ended")
			c.Call((*Conn).Resume)
			wantSame(t, await(t, all, "OnReadEOF"), data)
			_ = client.Close()
			if err := await(t, ended, "OnClose"); err != nil {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
}

// Pain 12 for a connection whose write half is down too: then both are, which
// epoll reports as a hang-up that nobody can mask, and there is still
// everything to read.
func TestUnreadDataSurvivesAHangup(t *testing.T) {
	data := pattern(120, inKernel)
	opened, all := make(chan *Conn, 1), make(chan []byte, 1)
	var got []byte
	s := startServer(t, Config{}, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			b, _ := c.Next(c.Buffered())
			got = append(got, b...)
		},
		eof: func(c *Conn) {
			all <- got
			c.Close()
		},
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	onConn(t, c, (*Conn).Pause) // a turn later: the poller knows it
	c.CloseWrite()
	client.wantEOF()
	client.send(data)
	_ = client.Close()
	awaitUntil(t, "both halves are down", func() bool { return tcpState(t, c) == unix.BPF_TCP_CLOSE })
	s.mustBeQuiet(0, "a paused connection has hung up")
	c.Call((*Conn).Resume)
	wantSame(t, await(t, all, "OnReadEOF"), data)
}

// Pain 17: memory that Peek or Next returned is used again while the callback
// still reads it (gnet #648), or is another connection's too (netpoll #143).
// Many connections send frames of random bytes; each callback holds on to
// frames while it writes, discards and peeks, and looks at them again at its
// end.
func TestInputStaysPutDuringACallback(t *testing.T) {
	type held struct {
		frame []byte
		sum   uint64
	}
	sum := func(b []byte) uint64 {
		h := fnv.New64a()
		_, _ = h.Write(b)
		return h.Sum64()
	}
	var mu sync.Mutex
	var others []*Conn
	s := startServer(t, Config{ReadChunk: 8 << 10}, hooks{
		open: func(c *Conn) {
			mu.Lock()
			defer mu.Unlock()
			others = append(others, c)
		},
		data: func(c *Conn) {
			var frames []held
			for {
				head, err := c.Peek(4)
				if err != nil {
					break
				}
				size := int(binary.BigEndian.Uint32(head))
				if _, err := c.Peek(4 + size); err != nil {
					break
				}
				c.Discard(4)
				frame, err := c.Next(size)
				if err != nil {
					t.Errorf("Next(%d) after Peek: %v", size, err)
				}
				frames = append(frames, held{frame, sum(frame)})
				_, _ = c.Write(frame)
				if len(frames)%3 == 0 {
					_, _ = c.Write(make([]byte, 0, 1))
				}
			}
			// Other connections' buffers move meanwhile.
			mu.Lock()
			other := others[rand.IntN(len(others))]
			mu.Unlock()
			_, _ = other.Write(nil)
			other.Pause()
			other.Resume()
			_, _ = c.Peek(-1)
			_, _ = c.Peek(1 << 30)
			c.AsyncWrite(nil, nil)
			for i, f := range frames {
				if sum(f.frame) != f.sum {
					t.Errorf("frame %d of %d changed during the callback", i, len(frames))
				}
			}
		},
	})
	const clients, frames = 40, 60
	var wg sync.WaitGroup
	for i := range clients {
		client := s.dial()
		wg.Go(func() {
			random := rand.New(rand.NewPCG(17, uint64(i)))
			var stream, want []byte
			for f := range frames {
				body := pattern(uint64(i*frames+f), random.IntN(6<<10))
				stream = binary.BigEndian.AppendUint32(stream, uint32(len(body)))
				stream = append(stream, body...)
				want = append(want, body...)
			}
			wg.Go(func() {
				for len(stream) > 0 {
					n := min(1+random.IntN(9<<10), len(stream))
					if _, err := client.Write(stream[:n]); err != nil {
						t.Error(err)
						return
					}
					stream = stream[n:]
				}
			})
			got := make([]byte, len(want))
			if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d: %d of %d bytes, %v; the right ones: %v", i, n, len(want), err, bytes.Equal(got, want))
			}
		})
	}
	awaitAll(t, &wg, "the clients")
}

// What Peek, Next, Discard and Buffered promise at their edges.
func TestInputMethods(t *testing.T) {
	done := make(chan struct{})
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		if c.Buffered() < 5 {
			return
		}
		defer close(done)
		check := func(what string, got []byte, err error, want string, wantErr error) {
			if string(got) != want || !errors.Is(err, wantErr) {
				t.Errorf("%s: %q, %v, want %q, %v", what, got, err, want, wantErr)
			}
		}
		b, err := c.Peek(0)
		check("Peek(0)", b, err, "", nil)
		b, err = c.Peek(2)
		check("Peek(2)", b, err, "ab", nil)
		b, err = c.Peek(-1)
		check("Peek(-1)", b, err, "abcde", nil)
		b, err = c.Peek(6)
		check("Peek(6)", b, err, "abcde", io.ErrShortBuffer)
		b, err = c.Next(6)
		check("Next(6)", b, err, "", io.ErrShortBuffer)
		b, err = c.Next(2)
		check("Next(2)", b, err, "ab", nil)
		if n := c.Discard(-1); n != 0 {
			t.Errorf("Discard(-1) is %d", n)
		}
		if n := c.Discard(1); n != 1 || c.Buffered() != 2 {
			t.Errorf("Discard(1) is %d and leaves %d", n, c.Buffered())
		}
		if n := c.Discard(10); n != 2 || c.Buffered() != 0 {
			t.Errorf("Discard(10) is %d and leaves %d", n, c.Buffered())
		}
		b, err = c.Next(-1)
		check("Next(-1)", b, err, "", nil)
	}})
	client := s.dial()
	client.send([]byte("abc"))
	client.send([]byte("de"))
	await(t, done, "five bytes")
}

// Bytes that come one at a time, and reads that end anywhere in a frame, are
// put together.
func TestInputIsPutTogether(t *testing.T) {
	frames := make(chan string, 8)
	s := startServer(t, Config{}, hooks{data: func(c *Conn) {
		for {
			b, err := c.Next(5)
			if err != nil {
				return
			}
			frames <- string(b)
		}
	}})
	client := s.dial()
	_ = client.SetNoDelay(true)
	for i := range 3 {
		word := fmt.Sprintf("word%d", i)
		for j := range word {
			client.send([]byte{word[j]})
		}
		if got := await(t, frames, "a frame"); got != word {
			t.Fatalf("got %q, want %q", got, word)
		}
	}
}

// Pain 9 and 11 together: one read brings no more than ReadChunk, however much
// room a growing buffer has and however much waits, and so a full buffer is
// over ReadBufferMax by less than that.
func TestReadChunkBoundsEveryRead(t *testing.T) {
	cfg := Config{ReadChunk: 16 << 10, ReadBufferMax: 600 << 10}
	opened := make(chan *Conn, 1)
	before, most := 0, 0 // the loop's
	s := startServer(t, cfg, hooks{
		open: func(c *Conn) { opened <- c },
		data: func(c *Conn) {
			most = max(most, c.Buffered()-before)
			before = c.Buffered()
		},
	})
	client := s.dial()
	c := await(t, opened, "a connection")
	var sender sync.WaitGroup
	sender.Go(func() { _, _ = client.Write(make([]byte, 4<<20)) })
	awaitUntil(t, "the buffer is full", func() bool {
		full := false
		onConn(t, c, func(c *Conn) { full = c.pause&pausedByInput != 0 })
		return full
	})
	onConn(t, c, func(c *Conn) {
		if most > cfg.ReadChunk {
			t.Errorf("one read brought %d bytes, want %d at most", most, cfg.ReadChunk)
		}
		if c.Buffered() >= cfg.ReadBufferMax+cfg.ReadChunk {
			t.Errorf("%d bytes are held, want less than %d", c.Buffered(), cfg.ReadBufferMax+cfg.ReadChunk)
		}
	})
	c.CloseNow()
	awaitAll(t, &sender, "the client")
}
