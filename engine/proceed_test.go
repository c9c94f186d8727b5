package engine

import (
	"bytes"
	"errors"
	"sync"
	"testing"
)

// A handler that asks between messages holds no more replies than the
// high-water mark and one, however many requests came at once, and gets to
// answer them all.
func TestProceedBoundsReplies(t *testing.T) {
	const requests, reply, high = 8000, 4 << 10, 16 << 10
	most := 0
	s := startServer(t, Config{WriteHighWater: high}, hooks{
		data: func(c *Conn) {
			for c.Proceed() && c.Discard(1) == 1 {
				_, _ = c.Write(make([]byte, reply))
				most = max(most, c.Unsent())
			}
		},
		closed: func(c *Conn, err error) {
			if err != nil {
				t.Errorf("OnClose got %v", err)
			}
		},
	})
	c := s.dial()
	c.send(make([]byte, requests))
	if got := c.recv(requests * reply); len(got) != requests*reply {
		t.Errorf("got %d bytes", len(got))
	}
	c.finish()
	c.recvAll()
	s.onLoop(0, func(*loop) {
		if most > high+reply {
			t.Errorf("%d bytes were unsent, more than %d", most, high+reply)
		}
	})
}

// Nothing is to be handled any more once the handler has said so itself.
func TestProceedStops(t *testing.T) {
	into := make([]byte, 1)
	for name, stop := range map[string]func(c *Conn){
		"Close":    func(c *Conn) { c.Close() },
		"CloseNow": func(c *Conn) { c.CloseNow() },
		"Fail":     func(c *Conn) { c.Fail(errors.ErrUnsupported) },
		"Pause":    func(c *Conn) { c.Pause(); c.Wake() },
		"ReadInto": func(c *Conn) { c.ReadInto(into, func(c *Conn) { c.Close() }) },
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			ended := make(chan struct{})
			s := startServer(t, Config{}, hooks{
				data: func(c *Conn) {
					calls++
					before := c.Proceed()
					stop(c)
					if !before || c.Proceed() {
						t.Errorf("Proceed before is %v, after %v", before, c.Proceed())
					}
				},
				wake:   func(c *Conn) { c.Close() },
				closed: func(*Conn, error) { close(ended) },
			})
			c := s.dial()
			c.send([]byte("ab"))
			if name != "Fail" && name != "CloseNow" { // they reset
				c.finish()
			}
			await(t, ended, "OnClose")
			if calls != 1 {
				t.Errorf("OnData was called %d times", calls)
			}
		})
	}
}

// A handler that waits for more than is kept unread is told that it won't come,
// and can have it all the same.
func TestInputFull(t *testing.T) {
	const kept = 8 << 10
	text := pattern(7, 3*kept)
	whole := make([]byte, len(text))
	filled := make(chan struct{})
	s := startServer(t, Config{ReadChunk: 4 << 10, ReadBufferMax: kept}, hooks{
		data: func(c *Conn) {
			if full := c.Buffered() >= kept; full != c.InputFull() {
				t.Errorf("InputFull is %v with %d bytes", !full, c.Buffered())
			} else if full {
				c.ReadInto(whole, func(*Conn) { close(filled) })
			}
		},
	})
	c := s.dial()
	c.send(text)
	await(t, filled, "ReadInto")
	if !bytes.Equal(whole, text) {
		t.Error("other bytes were read")
	}
}

// A handler that asks between its pieces has a bounded share of a turn, however much its
// peer and the kernel take. One connection that answered many requests of 64 KiB at once
// held its loop for milliseconds, and all others waited.
func TestShareOfTurn(t *testing.T) {
	const requests, reply, budget = 300, 32 << 10, 64 << 10
	for name, h := range map[string]hooks{
		"Proceed": {data: func(c *Conn) {
			for c.Proceed() && c.Discard(1) == 1 {
				_, _ = c.Write(make([]byte, reply))
			}
		}},
		"Yield": {data: produce, writable: produce},
		// Its OnData had nothing unread, and so nothing was called again.
		"Proceed, of what is not input": {data: stream, writable: stream},
	} {
		t.Run(name, func(t *testing.T) {
			most, turn := 0, -1
			sent := 0 // in this turn
			count := func(c *Conn) {
				if l := c.loop; int(l.stats.turns.load()) != turn {
					turn, sent = int(l.stats.turns.load()), 0
				}
			}
			h.open = func(c *Conn) {
				c.SetTap(func(c *Conn, d Direction, p []byte) {
					if d == Outbound {
						count(c)
						sent += len(p)
						most = max(most, sent)
					}
				})
			}
			s := startServer(t, Config{WriteBudget: budget, WriteHighWater: reply}, h)
			c := s.dial()
			c.send(make([]byte, requests))
			if got := c.recv(requests * reply); len(got) != requests*reply {
				t.Errorf("got %d bytes", len(got))
			}
			c.finish()
			c.recvAll()
			s.onLoop(0, func(*loop) {
				if most > budget+3*reply {
					t.Errorf("%d bytes were sent in one turn, much more than %d", most, budget)
				}
			})
		})
	}
}

// Several such connections have a share each. They were called again as often as they
// had asked, twice for each call, and so took turns within one turn of the loop: each
// had a fresh share when another had sent.
func TestShareOfTurnInCompany(t *testing.T) {
	const clients, requests, reply, budget = 4, 1000, 32 << 10, 64 << 10
	most, listed, turn := 0, 0, uint64(0)
	sent := map[*Conn]int{} // in this turn
	answer := func(c *Conn) {
		produceMore(c)
		for c.Proceed() && c.Discard(1) == 1 {
			n, _ := c.Context().(int)
			c.SetContext(n + 1)
			produceMore(c)
		}
	}
	s := startServer(t, Config{Loops: 1, WriteBudget: budget}, hooks{
		open: func(c *Conn) {
			c.KeepReading(true) // and so asks about both directions
			c.SetTap(func(c *Conn, d Direction, p []byte) {
				if d != Outbound {
					return
				}
				if now := c.Turn(); now != turn {
					turn = now
					clear(sent)
				}
				sent[c] += len(p)
				most = max(most, sent[c])
				listed = max(listed, len(c.loop.again))
			})
		},
		data:     answer,
		writable: answer,
	})
	var all sync.WaitGroup
	for range clients {
		c := s.dial()
		c.send(make([]byte, requests))
		all.Go(func() {
			if got := c.recv(requests * reply); len(got) != requests*reply {
				t.Errorf("got %d bytes", len(got))
			}
			c.finish()
			c.recvAll()
		})
	}
	all.Wait()
	s.onLoop(0, func(*loop) {
		// One share for what has just come, and one for what was left.
		if most > 2*(budget+2*reply) {
			t.Errorf("a connection sent %d bytes in one turn", most)
		}
		if listed > 2*clients { // those of this turn, and of the next
			t.Errorf("%d of %d connections were listed to be called again", listed, clients)
		}
	})
}

// produceMore is produce for a handler that asks also between the messages.
func produceMore(c *Conn) {
	n, _ := c.Context().(int)
	for n > 0 && !c.Congested() && !c.Yield() {
		_, _ = c.Write(make([]byte, 32<<10))
		n--
	}
	c.SetContext(n)
}

// produce answers every byte with a piece, as one that fetches them from elsewhere.
func produce(c *Conn) {
	n, _ := c.Context().(int)
	c.SetContext(n + c.Discard(c.Buffered()))
	produceMore(c)
}

// stream is produce for a handler that asks Proceed and nothing else.
func stream(c *Conn) {
	n, _ := c.Context().(int)
	n += c.Discard(c.Buffered())
	for n > 0 && c.Proceed() {
		_, _ = c.Write(make([]byte, 32<<10))
		n--
	}
	c.SetContext(n)
}
