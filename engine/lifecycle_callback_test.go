package engine_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: tenants with the same address are told apart, and every kind
// of callback finds its thread in its own connection's namespace, whatever the
// number of loops, the policy and the family. A handler that is registered
// with AnyNamespace is never switched for.
func TestEveryCallbackFindsItsNamespace(t *testing.T) {
	lab := nstest.New(t)
	var tenants []*nstest.Tenant
	for _, name := range []string{"a", "b", "c"} {
		tenants = append(tenants, lab.MustAdd(t, name))
	}
	for _, mode := range []struct {
		name    string
		cfg     engine.Config
		options []engine.HandleOption
	}{
		{name: "namespace"},
		{name: "always", cfg: engine.Config{Switch: engine.SwitchAlways}},
		{name: "anywhere", options: []engine.HandleOption{engine.AnyNamespace}},
		{name: "spread", cfg: engine.Config{Accept: engine.AcceptSpread}},
	} {
		for loops := 1; loops <= 2; loops++ {
			t.Run(fmt.Sprintf("%s/%d", mode.name, loops), func(t *testing.T) {
				cfg := mode.cfg
				cfg.Loops = loops
				eng := tameEngine(t, cfg)
				w := &witness{anywhere: mode.options != nil}
				must(t, eng.Handle("tcp", lifePort, w, mode.options...))
				must(t, eng.Watch(lab.Dir()))
				exercise(t, eng, w, tenants)
				must(t, eng.Shutdown(hanging(t)))
				if switches := totalSwitches(eng); w.anywhere && switches > 0 {
					t.Errorf("%d switches for a handler that needs none", switches)
				}
			})
		}
	}
}

// callbacks are all the ways into a handler.
var callbacks = []string{
	"OnOpen", "OnData", "OnReadEOF", "OnWritable", "OnWake", "OnTimer", "Call", "done", "OnDrain", "OnClose",
}

// exercise has every callback called in each tenant, the tenants taking turns
// so that a thread that stays where it was is in the wrong place.
func exercise(t *testing.T, eng *engine.Engine, w *witness, tenants []*nstest.Tenant) {
	t.Helper()
	var callers []*caller
	for _, network := range []string{"tcp4", "tcp6"} {
		for _, tenant := range tenants {
			callers = append(callers, call(t, tenant, network))
		}
	}
	each := func(f func(c *caller, id nsctx.ID)) {
		for i, c := range callers {
			f(c, tenants[i%len(tenants)].NS.ID())
		}
	}
	for range 3 {
		each(func(c *caller, id nsctx.ID) { c.expectWho(t, id) })
	}
	for line, answer := range map[string]string{"wake": "wake", "timer": "timer", "call": "call", "async": "async <nil>"} {
		each(func(c *caller, _ nsctx.ID) { c.expect(t, line, answer) })
	}
	each(func(c *caller, id nsctx.ID) { flood(t, w, c, id) })

	// The second half of the callers leave, the others are drained.
	leaving := callers[len(callers)/2:]
	for _, c := range leaving {
		must(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
		if rest, err := c.rest(); rest != "" || err != nil {
			t.Errorf("at the end: %q, %v", rest, err)
		}
	}
	for i, tenant := range tenants {
		detached := make(chan error, 1)
		ns := attached(t, eng, tenant.NS.ID())
		go func() { detached <- eng.Detach(hanging(t), ns) }()
		if rest, err := callers[i].rest(); rest != "drain\n" || err != nil {
			t.Errorf("when drained: %q, %v", rest, err)
		}
		_ = callers[i].Close()
		must(t, <-detached)
	}
	for _, tenant := range tenants {
		for _, callback := range callbacks {
			if w.count(callback, tenant.NS.ID()) == 0 {
				t.Errorf("%s was not called for %s", callback, tenant.Name)
			}
		}
		for _, end := range w.endings(tenant.NS.ID()) {
			if end.err != nil {
				t.Errorf("%s: OnClose got %v", tenant.Name, end.err)
			}
		}
	}
	w.check(t)
}

// flood makes a caller's connection pass its high-water mark and come back. It
// reads nothing before that: the kernel may take megabytes.
func flood(t *testing.T, w *witness, c *caller, id nsctx.ID) {
	t.Helper()
	before := w.count("flood", id)
	say(t, c, "flood\n")
	eventually(t, "the kernel takes no more", func() bool { return w.count("flood", id) > before })
	_, err := c.line()
	must(t, err)
	if line, err := c.line(); line != "writable" || err != nil {
		t.Errorf("after a flood: %q, %v", line, err)
	}
}

// The promise: a handler with AnyNamespace is never switched for, but
// Conn.Enter brings it where it belongs.
func TestAnyNamespaceSwitchesOnlyOnEnter(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	eng := tameEngine(t, engine.Config{Loops: 1, ParkTimeout: time.Hour})
	w := &witness{anywhere: true}
	must(t, eng.Handle("tcp", lifePort, w, engine.AnyNamespace))
	must(t, eng.Watch(lab.Dir()))
	inA, inB := call(t, a, "tcp"), call(t, b, "tcp")
	for range 10 {
		inA.expectWho(t, a.NS.ID())
		inB.expectWho(t, b.NS.ID())
	}
	inA.expect(t, "switches", "0")
	inA.expect(t, "where", homeID(t).String())
	inA.expect(t, "enter", a.NS.ID().String())
	inA.expect(t, "switches", "1")
	inB.expect(t, "switches", "1")
	inB.expect(t, "enter", b.NS.ID().String())
	inB.expect(t, "enter", b.NS.ID().String())
	inB.expect(t, "switches", "2")
}

// The promise: by default a thread stays where the last callback needed it;
// with SwitchAlways every event costs a switch in and one back.
func TestSwitchesAnEvent(t *testing.T) {
	lab := nstest.New(t)
	a, b := lab.MustAddBare(t, "a"), lab.MustAddBare(t, "b")
	for _, test := range []struct {
		name            string
		policy          engine.SwitchPolicy
		staying, moving int
	}{
		{"on change", engine.SwitchOnChange, 0, 1},
		{"always", engine.SwitchAlways, 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			eng := tameEngine(t, engine.Config{Loops: 1, Switch: test.policy, ParkTimeout: time.Hour})
			must(t, eng.Handle("tcp", lifePort, new(witness)))
			must(t, eng.Watch(lab.Dir()))
			inA, inB := call(t, a, "tcp"), call(t, b, "tcp")
			inA.expectWho(t, a.NS.ID())
			inB.expectWho(t, b.NS.ID())
			before := switches(t, inA)
			for range 10 {
				if now := switches(t, inA); now != before+test.staying {
					t.Errorf("%d switches for an event of the same namespace, want %d", now-before, test.staying)
				}
				before = switches(t, inA)
				if now := switches(t, inB); now != before+test.moving {
					t.Errorf("%d switches for an event of another namespace, want %d", now-before, test.moving)
				}
				before = switches(t, inA)
			}
		})
	}
}

func switches(t *testing.T, c *caller) int {
	t.Helper()
	n, err := strconv.Atoi(c.ask(t, "switches"))
	must(t, err)
	return n
}
