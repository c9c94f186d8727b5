package gnethandler_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
)

// reader consumes by a method and an amount that chance names, the same each
// time, and notes what it gets.
type reader struct {
	gnet.BuiltinEventEngine
	*journal
}

func (r *reader) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext((*rand.Rand)(nil))
	return nil, gnet.None
}

func (r *reader) OnTraffic(c gnet.Conn) gnet.Action {
	chance := c.Context().(*rand.Rand)
	if chance == nil { // the first piece is the seed
		seed, _ := c.Next(8)
		chance = rand.New(rand.NewChaCha8([32]byte(append(bytes.Clone(seed), make([]byte, 24)...))))
		c.SetContext(chance)
	}
	for range chance.IntN(4) {
		r.read(c, chance.IntN(6), chance.IntN(c.InboundBuffered()+4)-1)
	}
	return gnet.None
}

func (r *reader) read(c gnet.Conn, method, n int) {
	switch method {
	case 0:
		b, err := c.Peek(n)
		r.note("peek %d: %s, %v", n, abridged(b), err)
	case 1:
		b, err := c.Next(n)
		r.note("next %d: %s, %v", n, abridged(b), err)
	case 2:
		if n >= c.InboundBuffered()/2 {
			n /= 4 // or there would never be much
		}
		discarded, err := c.Discard(n)
		r.note("discard %d: %d, %v", n, discarded, err)
	case 3:
		b := make([]byte, max(n, 0))
		got, err := c.Read(b)
		r.note("read %d: %s, %v", n, abridged(b[:got]), err)
	case 4:
		w := &narrow{room: n}
		got, err := c.WriteTo(w)
		r.note("write to %d: %d, %s, %v", n, got, abridged(w.Bytes()), err)
	case 5:
		r.note("%d buffered", c.InboundBuffered())
	}
}

// narrow takes no more than it has room for.
type narrow struct {
	bytes.Buffer
	room int
}

func (w *narrow) Write(p []byte) (int, error) {
	n := max(min(len(p), w.room-w.Len()), 0)
	_, _ = w.Buffer.Write(p[:n])
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Any sequence of reads, over any pieces, gives the same on gnet and here.
func TestReadsAreEqual(t *testing.T) {
	var scripts []script
	for seed := range 60 {
		chance := rand.New(rand.NewPCG(uint64(seed), 0))
		pieces := []string{fmt.Sprintf("seed %03d", seed)}
		for range 20 {
			pieces = append(pieces, strings.Repeat(string(rune('a'+chance.IntN(26))), 1+chance.IntN(40)<<chance.IntN(8)))
		}
		scripts = append(scripts, script{name: fmt.Sprint(seed), act: func(c *client) {
			c.say(pieces...)
			c.closeWrite()
			c.readAll()
		}})
	}
	equal(t, func(j *journal) gnet.EventHandler { return &reader{journal: j} }, scripts...)
}
