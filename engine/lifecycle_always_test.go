package engine_test

import (
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

type panicker struct{ engine.BaseHandler }

func (panicker) OnData(*engine.Conn) { panic("on purpose") }

// The promise: with SwitchAlways the thread is back home after every event. It
// broke: after a handler's panic it stayed in the namespace, ParkTimeout long.
func TestAlwaysGoesHomeAfterAPanic(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng, _ := wildEngine(t, engine.Config{Loops: 1, Switch: engine.SwitchAlways, ParkTimeout: time.Hour})
	must(t, eng.Handle("tcp", lifePort, panicker{}))
	must(t, eng.Watch(lab.Dir()))
	c := call(t, tenant, "tcp")
	say(t, c, "x")
	_, _ = c.rest()
	_ = c.Close()
	waits := eng.Stats().Loops[0].Waits
	eventually(t, "the loop sleeps again", func() bool {
		l := eng.Stats().Loops[0]
		return l.Panics == 1 && l.Conns == 0 && l.Busy == 0 && l.Waits >= waits
	})
	if at := eng.Stats().Loops[0].Namespace; at != "" {
		t.Errorf("the thread is in %q", at)
	}
}
