package handlertest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
	"weak"

	"github.com/nsreactor/nsreactor/engine"
)

// properties are what Conform tests, in the order in which a failure says most.
var properties = []property{
	{"exchanges", checkExchanges},
	{"one piece", checkOnePiece},
	{"pipelined", checkPipelined},
	{"byte by byte", checkByteByByte},
	{"random splits", checkRandomSplits},
	{"slow reader", checkSlowReader},
	{"half-close", checkHalfClose},
	{"reset", checkReset},
	{"overflow", checkOverflow},
	{"drain", checkDrain},
	{"pause", checkPause},
	{"clock jumps", checkClockJumps},
	{"interleaved", checkInterleaved},
	{"garbage", checkGarbage},
	{"nothing kept", checkNothingKept},
}

func checkExchanges(s *suite) { s.transcript() }

func checkOnePiece(s *suite) {
	tr := s.transcript()
	lp := s.loop()
	c := lp.Connect()
	c.Send(s.input())
	s.same(c, tr, "all input in one piece")
	lp.end()
}

func checkPipelined(s *suite) {
	tr := s.transcript()
	lp := s.loop()
	c := lp.Connect()
	lp.Together(func() {
		for _, e := range s.Exchanges {
			c.SendPieces(e.Send)
		}
	})
	s.same(c, tr, "all exchanges sent before the first reply has come, a piece each")
	lp.end()
}

func checkByteByByte(s *suite) {
	tr := s.transcript()
	lp := s.loop()
	c := lp.Connect()
	c.SendPieces(s.input(), slices.Repeat([]int{1}, len(s.input()))...)
	s.same(c, tr, "input byte by byte")
	lp.end()
}

// rounds is how often something random is tried.
const rounds = 25

func (s *suite) random(round int) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, uint64(round))) }

// split cuts a length into random pieces, of which more are short than long.
func split(r *rand.Rand, length int) (sizes []int) {
	for length > 0 {
		n := 1 + r.IntN(1+r.IntN(length))
		sizes = append(sizes, n)
		length -= n
	}
	return sizes
}

func checkRandomSplits(s *suite) {
	tr := s.transcript()
	for round := range rounds {
		sizes := split(s.random(round), len(s.input()))
		lp := s.loop()
		c := lp.Connect()
		c.SendPieces(s.input(), sizes...)
		ok := s.same(c, tr, "input in pieces of %d bytes (seed %d, round %d)", sizes, s.Seed, round)
		lp.end()
		if !ok {
			return
		}
	}
}

// narrow makes a handler meet the limits of the write buffer early.
func narrow(high int) func(*engine.Config) {
	return func(cfg *engine.Config) {
		cfg.WriteHighWater = high
		if cfg.WriteBufferMax > 0 {
			cfg.WriteHighWater = min(high, cfg.WriteBufferMax)
		}
	}
}

func checkSlowReader(s *suite) {
	tr := s.transcript()
	for _, high := range []int{1, 64, 64 << 10} {
		lp := s.loop(narrow(high))
		c := lp.Connect()
		c.Window(0)
		c.SendPieces(s.input(), split(s.random(0), len(s.input()))...)
		if n := len(c.Received()) - greeting(s, tr); n > 0 {
			s.t.Errorf("%d bytes were received through a closed window", n)
		}
		for step := 1; step > 0; {
			step = s.open(c, step)
		}
		s.same(c, tr, "a reader that takes a byte at a time, with a high-water mark of %d", high)
		lp.end()

		lp = s.loop(narrow(high))
		c = lp.Connect()
		c.Window(0)
		c.Send(s.input())
		c.Window(unlimited)
		s.same(c, tr, "a reader that takes nothing until it has sent all, with a high-water mark of %d", high)
		lp.end()
	}
}

// greeting is how much a client may have received when it has sent nothing.
func greeting(s *suite, tr transcript) (n int) {
	for i, e := range s.Exchanges {
		if e.Send != "" {
			break
		}
		n = tr.after[i]
	}
	return n
}

// bytewise is how many bytes of a transcript are taken one at a time.
const bytewise = 4096

// open lets a client take step bytes more, and returns how many to let it take next: 0
// if there are none.
func (s *suite) open(c *Conn, step int) int {
	before := len(c.Received())
	c.Window(step)
	switch after := len(c.Received()); {
	case after == before:
		return 0
	case after > bytewise:
		return 2 * step
	}
	return 1
}

func checkHalfClose(s *suite) {
	tr := s.transcript()
	for _, slow := range []bool{false, true} {
		how := "a client that shuts down its half after its last byte"
		lp := s.loop(narrow(64))
		c := lp.Connect()
		if slow {
			how += ", and only then begins to read"
			c.Window(0)
		}
		lp.Together(func() {
			c.Send(s.input())
			c.CloseWrite()
		})
		c.Window(unlimited)
		s.same(c, tr, "%s", how)
		if !c.ended || c.err != nil || !c.EOF() || c.WasReset() {
			s.t.Errorf("%s gets no orderly end%s", how, ending(c))
		}
		lp.end()
	}
}

// offsets are places in a length: all, or some that are spread over it.
func offsets(length, most int) (at []int) {
	step := max(length/most, 1)
	for i := 0; i <= length; i += step {
		at = append(at, i)
	}
	return at
}

func checkReset(s *suite) {
	tr := s.transcript()
	input := s.input()
	for _, at := range offsets(len(input), 256) {
		for _, window := range []int{unlimited, 0} {
			lp := s.loop(narrow(1))
			c := lp.Connect()
			c.Window(window)
			c.Send(input[:at])
			c.Reset()
			ok := s.begins(c, tr, 0, "a reset after byte %d", at)
			if !c.ended {
				ok = false
				s.t.Errorf("a reset after byte %d does not end the connection", at)
			}
			if lp.end(); !ok {
				return
			}
		}
	}
}

func checkOverflow(s *suite) {
	tr := s.transcript()
	for _, limit := range offsets(len(tr.all), 32) {
		limit++
		lp := s.loop(func(cfg *engine.Config) { cfg.WriteHighWater, cfg.WriteBufferMax = limit, limit })
		c := lp.Connect()
		c.Window(0)
		lp.Together(func() {
			c.SendPieces(s.input(), split(s.random(limit), len(s.input()))...)
			c.CloseWrite()
		})
		c.Window(unlimited)
		how := fmt.Sprintf("a write buffer of %d bytes", limit)
		ok := s.begins(c, tr, 0, "%s: a Write has failed with ErrOverflow, and the replies have a hole", how)
		if ok && len(c.Received()) < len(tr.all) && s.Normalize == nil && c.EOF() && !c.WasReset() {
			ok = false
			s.t.Errorf("%s: a Write has failed with ErrOverflow, and an orderly end tells the client that it has everything: %s", how, difference(string(c.Received()), tr.all))
		}
		if lp.end(); !ok {
			return
		}
	}
}

func checkDrain(s *suite) {
	tr := s.transcript()
	input := s.input()
	for _, at := range offsets(len(input), 32) {
		lp := s.loop()
		c := lp.Connect()
		c.Send(input[:at])
		lp.Drain()
		ok := s.begins(c, tr, s.dueAfter(tr, at), "a drain after byte %d", at)
		if c.EOF() {
			c.Close() // as a client does
		}
		if !c.ended {
			lp.Advance(jump)
			ok = false
			s.t.Errorf("a drain after byte %d: OnDrain has left the connection open%s after an hour", at, ending(c))
		}
		if lp.end(); !ok {
			return
		}
	}
}

// dueAfter is how many bytes a client has a right to that has sent so many.
func (s *suite) dueAfter(tr transcript, sent int) (n int) {
	for i, e := range s.Exchanges {
		if sent -= len(e.Send); sent < 0 {
			break
		}
		n = tr.after[i]
	}
	return n
}

func checkPause(s *suite) {
	tr := s.transcript()
	for round := range rounds {
		lp := s.loop()
		c := lp.Connect()
		rest := s.input()
		sizes := split(s.random(round), len(rest))
		for _, n := range sizes {
			s.pauseAndResume(c)
			lp.Together(func() {
				s.pauseAndResume(c)
				c.Send(rest[:n])
			})
			rest = rest[n:]
		}
		s.pauseAndResume(c)
		ok := s.same(c, tr, "pauses, so that OnData comes again for what was left unread; pieces of %d bytes (seed %d, round %d)", sizes, s.Seed, round)
		if lp.end(); !ok {
			return
		}
	}
}

// pauseAndResume leaves a pause of the handler's own alone.
func (s *suite) pauseAndResume(c *Conn) {
	if c.server == nil {
		return
	}
	c.server.Call(func(sc *engine.Conn) {
		if !sc.Paused() {
			sc.Pause()
			sc.Resume()
		}
	})
	c.loop.Run()
}

// jump is how far clocks jump.
const jump = time.Hour

func checkClockJumps(s *suite) {
	tr := s.transcript()
	input := s.input()
	for _, at := range offsets(len(input), 32) {
		lp := s.loop()
		c := lp.Connect()
		c.Send(input[:at])
		lp.Advance(jump)
		if c.EOF() {
			c.Close()
		}
		var ok bool
		if c.ended {
			ok = s.begins(c, tr, s.dueAfter(tr, at), "a connection that an hour after byte %d has ended", at)
		} else {
			c.Send(input[at:])
			ok = s.same(c, tr, "an hour after byte %d", at)
		}
		if lp.end(); !ok {
			return
		}
	}
}

// crowd is how many connections are interleaved.
const crowd = 8

func checkInterleaved(s *suite) {
	tr := s.transcript()
	for round := range rounds / 5 {
		r := s.random(round)
		lp := s.loop()
		clients, rest := make([]*Conn, crowd), make([]string, crowd)
		for i := range clients {
			clients[i], rest[i] = lp.Connect(Client{Namespace: []string{"a", "b"}[i%2]}), s.input()
		}
		for left := crowd * len(s.input()); left > 0; {
			lp.Together(func() {
				for i, c := range clients {
					if n := min(r.IntN(1+len(s.input())/4+1), len(rest[i])); n > 0 && r.IntN(2) == 0 {
						c.Send(rest[i][:n])
						rest[i], left = rest[i][n:], left-n
					}
				}
			})
		}
		ok := true
		for i, c := range clients {
			ok = ok && s.same(c, tr, "%d connections at once, number %d of them (seed %d, round %d)", crowd, i, s.Seed, round)
		}
		if lp.end(); !ok {
			return
		}
	}
}

func checkGarbage(s *suite) {
	tr := s.transcript()
	for round := range 4 * rounds {
		r := s.random(round)
		lp := s.loop()
		good, bad := lp.Connect(), lp.Connect()
		broken := garble(r, s.input())
		half := len(s.input()) / 2
		good.Send(s.input()[:half])
		bad.SendPieces(broken, split(r, len(broken))...)
		lp.Advance(time.Second)
		good.Send(s.input()[half:])
		ok := s.same(good, tr, "beside a connection that sends %q (seed %d, round %d)", clip(broken), s.Seed, round)
		bad.Close()
		lp.end()
		if !ok || s.t.Failed() {
			s.t.Errorf("the broken input was %q (seed %d, round %d)", clip(broken), s.Seed, round)
			return
		}
	}
}

// garble breaks input in a few places.
func garble(r *rand.Rand, input string) string {
	b := []byte(input)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(4) {
		case 0: // other bytes
			for i := at; i < min(at+1+r.IntN(4), len(b)); i++ {
				b[i] = byte(r.Uint32())
			}
		case 1: // something is missing
			b = slices.Delete(b, at, min(at+1+r.IntN(8), len(b)))
		case 2: // something comes twice
			b = slices.Insert(b, at, b[at:min(at+1+r.IntN(8), len(b))]...)
		case 3: // something new
			b = slices.Insert(b, at, []byte{0, byte(r.Uint32()), 0xff, '\n'}[:1+r.IntN(4)]...)
		}
	}
	return string(b)
}

func checkNothingKept(s *suite) {
	s.transcript()
	h := s.newHandler()
	lp := New(s.t, h, append(slices.Clone(s.Options), WithConfig(s.Config), Namespaces("a", "b"))...)
	conns, open := s.endInEveryWay(lp)
	if open > 0 {
		s.t.Errorf("an hour after their clients have closed %d of %d connections have not ended: OnReadEOF leaves them open, and there is no timeout",
			open, len(conns))
	}
	for range 3 { // what a first collection frees may have held the next
		runtime.GC()
	}
	kept := 0
	for _, c := range conns {
		if c.Value() != nil {
			kept++
		}
	}
	if kept > open {
		s.t.Errorf("after OnClose the handler still holds %d of %d connections", kept-open, len(conns))
	}
	runtime.KeepAlive(h)
	lp.end()
}

// endInEveryWay makes connections, and ends them; open is of how many the handler does not
// take the end.
func (s *suite) endInEveryWay(lp *Loop) (conns []weak.Pointer[engine.Conn], open int) {
	var clients []*Conn
	for i, end := range []func(*Conn){
		(*Conn).Close, (*Conn).Reset, (*Conn).CloseWrite,
		func(c *Conn) { c.server.CloseNow() }, func(c *Conn) { c.server.Close() },
	} {
		for _, n := range []int{0, len(s.input()) / 2, len(s.input())} {
			c := lp.Connect(Client{Namespace: []string{"a", "b"}[i%2]})
			c.Send(s.input()[:n])
			if c.server == nil {
				continue // it has ended already
			}
			clients, conns = append(clients, c), append(conns, weak.Make(c.server))
			end(c)
			lp.Run()
			c.Close()
			c.Window(unlimited)
		}
	}
	lp.Advance(jump)
	for _, c := range clients {
		if !c.ended {
			open++
		}
	}
	return conns, open
}
