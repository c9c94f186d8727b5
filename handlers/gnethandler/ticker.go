package gnethandler

import (
	"time"

	"github.com/panjf2000/gnet/v2"
)

// ticker calls OnTick on a goroutine of its own, at home. The zero ticker is a
// stopped one.
type ticker struct{ quit, done chan struct{} }

func (t *ticker) start(h *Handler) {
	t.quit, t.done = make(chan struct{}), make(chan struct{})
	go t.run(h)
}

// run goes on after a Shutdown, as gnet does: Close is what ends it.
func (t *ticker) run(h *Handler) {
	defer close(t.done)
	for {
		delay, action := h.events.OnTick()
		if action == gnet.Shutdown {
			h.shutdown()
		}
		select {
		case <-t.quit:
			return
		case <-time.After(delay):
		}
	}
}

func (t *ticker) stop() {
	if t.quit != nil {
		close(t.quit)
		<-t.done
	}
}
