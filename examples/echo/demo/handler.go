package demo

import (
	"bytes"
	"os"
	"sync"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
)

const (
	hello   = "hello "
	bye     = "bye\n"
	noPlace = "anywhere" // the place of a thread that may be wherever it is
)

// responder is the demonstration's server.
type responder struct {
	engine.BaseHandler
	anywhere bool // it is registered with engine.AnyNamespace

	mu    sync.Mutex
	lives map[nsctx.ID]life
}

// life is what became of a namespace's connections.
type life struct {
	conns, open int
	told        time.Time // when the first was told to drain
	ended       time.Time // when the last one ended
}

func newResponder(anywhere bool) *responder {
	return &responder{anywhere: anywhere, lives: make(map[nsctx.ID]life)}
}

// OnOpen greets, and keeps what replies begin with.
func (r *responder) OnOpen(c *engine.Conn) {
	id := c.Namespace().ID()
	r.update(id, func(l *life) { l.conns++; l.open++ })
	c.SetContext([]byte(id.String() + " "))
	say(c, []byte(hello+id.String()+" "+r.place()+"\n"))
}

// place is where the thread is, as the kernel has it, not the engine.
func (r *responder) place() string {
	if r.anywhere {
		return noPlace
	}
	place, err := threadPlace()
	if err != nil {
		return err.Error()
	}
	return place
}

// threadPlace is the network namespace of the calling thread, as in
// "net:[4026532177]".
func threadPlace() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// OnData answers the lines that are complete; the rest of the last one stays.
func (r *responder) OnData(c *engine.Conn) {
	prefix := c.Context().([]byte)
	arrived, _ := c.Peek(-1) // all there is can't be too short
	answered := 0
	for {
		end := bytes.IndexByte(arrived[answered:], '\n') + 1
		if end == 0 {
			break
		}
		say(c, prefix, arrived[answered:answered+end])
		answered += end
	}
	c.Discard(answered)
}

// OnDrain leaves it to the client to end the connection, so that nothing is
// cut off that is on its way.
func (r *responder) OnDrain(c *engine.Conn) {
	r.update(c.Namespace().ID(), func(l *life) {
		if l.told.IsZero() {
			l.told = time.Now()
		}
	})
	say(c, []byte(bye))
}

// OnClose counts.
func (r *responder) OnClose(c *engine.Conn, _ error) {
	r.update(c.Namespace().ID(), func(l *life) { l.open--; l.ended = time.Now() })
}

// say writes. What can't be written must not be missing from a stream that goes
// on.
func say(c *engine.Conn, parts ...[]byte) {
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			c.CloseNow()
		}
	}
}

// update is for callbacks: it is called a few times in a connection's life, on
// any loop.
func (r *responder) update(id nsctx.ID, f func(*life)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lives[id]
	f(&l)
	r.lives[id] = l
}

func (r *responder) life(id nsctx.ID) life {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lives[id]
}
