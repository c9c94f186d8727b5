package engine_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: a name counts once, however often it is attached and by whom.
// It broke: an Attach of what a watch had attached, or a second Attach, made
// two names of one, and the namespace was served for ever after its deletion.
func TestANameCountsOnce(t *testing.T) {
	for _, test := range []struct {
		name   string
		attach func(eng *engine.Engine, lab *nstest.Lab, ref nsctx.Ref) error
	}{
		{"watch, attach", func(eng *engine.Engine, lab *nstest.Lab, ref nsctx.Ref) error {
			return eng.Watch(lab.Dir())
		}},
		{"attach, attach", func(eng *engine.Engine, _ *nstest.Lab, ref nsctx.Ref) error {
			_, err := eng.Attach(ref)
			return err
		}},
		{"attach, watch, attach", func(eng *engine.Engine, lab *nstest.Lab, ref nsctx.Ref) error {
			if _, err := eng.Attach(ref); err != nil {
				return err
			}
			return eng.Watch(lab.Dir())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lab := nstest.New(t)
			tenant := lab.MustAddBare(t, "a")
			eng := tameEngine(t, engine.Config{Loops: 1})
			must(t, eng.Handle("tcp", lifePort, new(witness)))
			must(t, test.attach(eng, lab, nsctx.ByPath(tenant.Path)))
			ns, err := eng.Attach(nsctx.ByPath(tenant.Path))
			must(t, err)
			if len(ns.Names()) != 1 || len(eng.Namespaces()) != 1 {
				t.Errorf("named %v, %d namespaces", ns.Names(), len(eng.Namespaces()))
			}
			must(t, tenant.Delete())
			released(t, ns)
			confirmed(t, eng, 1)
		})
	}
}

// The promise: a path is one path, however it is written. It broke: the end of
// what was attached as dir//a was never noticed.
func TestAPathMayBeWrittenInManyWays(t *testing.T) {
	lab := nstest.New(t)
	for _, way := range []string{"//a", "/./a", "/../" + filepath.Base(lab.Dir()) + "/a"} {
		tenant := lab.MustAddBare(t, "a")
		eng := tameEngine(t, engine.Config{Loops: 1})
		must(t, eng.Watch(lab.Dir(), engine.Match("nothing")))
		ns, err := eng.Attach(nsctx.ByPath(lab.Dir() + way))
		must(t, err)
		again, err := eng.Attach(nsctx.ByPath(tenant.Path))
		must(t, err)
		if again != ns || ns.Name() != "a" {
			t.Errorf("%s: attached twice, or as %s", way, ns.Name())
		}
		must(t, tenant.Delete())
		released(t, ns)
		confirmed(t, eng, 1)
	}
}

// The promise: a name that has become another namespace's is no name of the
// first any more, also if Attach sees that before the watch does. It broke:
// the old namespace was never drained.
func TestAttachOvertakesTheWatch(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	old := attached(t, eng, tenant.NS.ID())
	var recreated, attachErr error
	must(t, eng.OnControl(func() { // the watch can say nothing meanwhile
		recreated = tenant.Recreate()
		_, attachErr = eng.AttachOnControl(nsctx.ByPath(tenant.Path))
	}))
	must(t, recreated)
	must(t, attachErr)
	released(t, old)
	c := call(t, tenant, "tcp")
	c.expectWho(t, tenant.NS.ID())
	_ = c.Close()
	young := attached(t, eng, tenant.NS.ID())
	must(t, tenant.Delete())
	released(t, young)
	confirmed(t, eng, 2)
}

// The promise: the end of a name is noticed even if the watch has never seen
// it. It broke: what was attached and deleted while the watch was held up was
// served for ever.
func TestGoneBeforeTheWatchLooks(t *testing.T) {
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	must(t, eng.Watch(lab.Dir()))
	held, release := make(chan struct{}), make(chan struct{})
	var ns *engine.Namespace
	var attachErr error
	path := lab.Path("a")
	done := make(chan error, 1)
	go func() {
		done <- eng.OnControl(func() {
			close(held)
			<-release
			ns, attachErr = eng.AttachOnControl(nsctx.ByPath(path))
			if attachErr == nil {
				attachErr = unix.Unmount(path, unix.MNT_DETACH)
			}
		})
	}()
	<-held
	lab.MustAddBare(t, "other")
	eventually(t, "the watch waits to tell of the other", func() bool { return eng.ControlQueue() > 0 })
	tenant := lab.MustAddBare(t, "a")
	close(release)
	must(t, <-done)
	must(t, attachErr)
	must(t, tenant.Delete())
	released(t, ns)
	confirmed(t, eng, 1)
}

// The promise: a path in /proc goes without an event, so what is attached by
// one is kept until Detach.
func TestProcPathIsKept(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 1})
	must(t, eng.Handle("tcp", lifePort, new(witness)))
	var ns *engine.Namespace
	t.Run("process", func(t *testing.T) { // it ends with this part
		var err error
		ns, err = eng.Attach(nsctx.ByPath(fmt.Sprintf("/proc/%d/ns/net", resident(t, tenant))))
		must(t, err)
	})
	c := call(t, tenant, "tcp")
	c.expectWho(t, tenant.NS.ID())
	_ = c.Close()
	must(t, eng.Detach(hanging(t), ns))
	released(t, ns)
}

// holder hands out its connections, and ignores OnDrain.
type holder struct {
	engine.BaseHandler
	conns chan *engine.Conn
}

func (h *holder) OnOpen(c *engine.Conn) { h.conns <- c }
func (h *holder) OnDrain(*engine.Conn)  {}

// The promise: a loop that has nothing more of a draining namespace does not
// go back there. It broke: a Call of a closed connection did, and parked the
// thread in the namespace, which it kept.
func TestCallOfAClosedConnectionHoldsNothing(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAdd(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 2, Accept: engine.AcceptSpread, ParkTimeout: time.Hour, DrainTimeout: time.Hour})
	h := &holder{conns: make(chan *engine.Conn, 2)}
	must(t, eng.Handle("tcp", lifePort, h))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	clients := []*caller{call(t, tenant, "tcp"), call(t, tenant, "tcp")}
	first, second := <-h.conns, <-h.conns
	if first.Loop() == second.Loop() {
		t.Fatalf("both are on loop %d", first.Loop())
	}
	must(t, tenant.Delete())
	eventually(t, "it drains", func() bool { return ns.State() == engine.StateDraining })
	first.CloseNow()
	eventually(t, "one loop is done", func() bool {
		s := ns.Snapshot()
		return s.Conns == 1 && !slices.Contains(s.Holds.ParkedLoops, first.Loop())
	})
	ran := make(chan nsctx.ID, 2)
	first.Call(func(*engine.Conn) { ran <- here() })
	first.AsyncWrite([]byte("x"), func(error) { ran <- here() })
	for range 2 {
		if at := <-ran; at == ns.ID() {
			t.Error("a closed connection's loop went back into the namespace")
		}
	}
	second.CloseNow()
	for _, c := range clients {
		_ = c.Close()
	}
	released(t, ns)
	confirmed(t, eng, 1)
}

// The promise: who waits in the backlog is served before a drain also where
// connections are spread, and the other loop has drained already. It broke:
// those handed to the other loop were reset.
func TestSpreadBacklogIsServedBeforeADrain(t *testing.T) {
	lab := nstest.New(t)
	tenant := lab.MustAddBare(t, "a")
	eng := tameEngine(t, engine.Config{Loops: 2, Accept: engine.AcceptSpread})
	h := &gated{batchWitness: batchWitness{held: make(chan struct{}), gate: make(chan struct{})}, loops: make(chan int, 100)}
	must(t, eng.Handle("tcp", lifePort, h))
	must(t, eng.Watch(lab.Dir()))
	ns := attached(t, eng, tenant.NS.ID())
	listening := 0
	eventually(t, "a loop listens", func() bool {
		loops := eng.Stats().Loops
		listening = loops[1].Listeners
		return loops[0].Listeners+loops[1].Listeners == 1
	})
	gate := call(t, tenant, "tcp")
	callers := []*caller{gate}
	for <-h.loops != listening {
		gate = call(t, tenant, "tcp")
		callers = append(callers, gate)
	}
	say(t, gate, "g") // the loop that listens is held up
	<-h.held
	for range 20 {
		callers = append(callers, call(t, tenant, "tcp"))
	}
	detached := make(chan error, 1)
	go func() { detached <- eng.Detach(hanging(t), ns) }()
	eventually(t, "it drains", func() bool { return ns.State() == engine.StateDraining })
	must(t, eng.OnControl(func() {}))
	eng.OnLoop(1-listening, func() {}) // after what the control goroutine has posted to it
	h.gate <- struct{}{}
	for i, c := range callers {
		if rest, err := c.rest(); err != nil {
			t.Errorf("connection %d: %q, %v", i, rest, err)
		}
		_ = c.Close()
	}
	must(t, <-detached)
	if s := ns.Snapshot(); s.Rejected != 0 || s.Accepted != uint64(len(callers)) {
		t.Errorf("%d of %d accepted, %d rejected", s.Accepted, len(callers), s.Rejected)
	}
}

// gated is a batchWitness that says which loops its connections are on.
type gated struct {
	batchWitness
	loops chan int
}

func (g *gated) OnOpen(c *engine.Conn) {
	g.loops <- c.Loop()
	g.batchWitness.OnOpen(c)
}
