package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// inside has work find out where its thread is.
type inside struct {
	engine.BaseHandler
	t    *testing.T
	hold chan struct{} // nil lets it go at once
	in   chan nsctx.ID
}

func (h *inside) OnData(c *engine.Conn) {
	c.Discard(c.Buffered())
	var id nsctx.ID
	must(h.t, c.Go(engine.Work{
		InNamespace: true,
		Run: func(context.Context) error {
			here, err := nsctx.ByPath("/proc/thread-self/ns/net").Open()
			if err != nil {
				return err
			}
			id = here.ID()
			h.in <- id
			if h.hold != nil {
				<-h.hold
			}
			return here.Close()
		},
		Done: func(c *engine.Conn, err error) {
			if err != nil || id != c.Namespace().ID() {
				h.t.Errorf("ran in %v, not %v: %v", id, c.Namespace().ID(), err)
			}
			_, _ = c.Write([]byte("k"))
		},
	}))
}

// Work that asks for it finds its thread in its connection's namespace, and as
// long as it is there the namespace is not let go of.
func TestWorkInsideItsNamespace(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAdd(t, "a"), lab.MustAdd(t, "b")
	h := &inside{t: t, hold: make(chan struct{}), in: make(chan nsctx.ID, 2)}
	eng, err := engine.New(engine.Config{Loops: 1, CheckThread: true, StallAfter: hang, DrainTimeout: time.Millisecond})
	must(t, err)
	t.Cleanup(func() { _ = eng.Shutdown(context.Background()) })
	must(t, eng.Handle("tcp", lifePort, h))
	must(t, eng.Watch(lab.Dir()))
	for _, tenant := range []*nstest.Tenant{a, b} {
		conn, err := tenant.Dial(hanging(t), "tcp", lifePort)
		must(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		must(t, err)
	}
	ids := []nsctx.ID{<-h.in, <-h.in}
	if ids[0] == ids[1] {
		t.Error("both ran in one namespace")
	}
	detached := make(chan error, 1)
	ns := eng.Namespaces()[0]
	go func() { detached <- eng.Detach(hanging(t), ns) }()
	eventually(t, "the connection is gone and the work is held", func() bool {
		s := ns.State()
		for _, n := range eng.Stats().Namespaces {
			if n.ID == ns.ID() {
				return s == engine.StateDraining && n.Conns == 0 && n.Holds.Work == 1 && n.Holds.Ours()
			}
		}
		return false
	})
	close(h.hold)
	must(t, <-detached)
}
