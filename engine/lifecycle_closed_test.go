package engine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// The promise: when a namespace can't be entered, no callback runs; the
// connection ends with ErrSwitch, its OnClose runs at home, it is counted, and
// nobody else notices. What was promised to run all the same, Call and a
// write's completion, finds the connection closed, and the thread at home.
func TestFailedSwitchIsFailClosed(t *testing.T) {
	for _, policy := range []engine.SwitchPolicy{engine.SwitchOnChange, engine.SwitchAlways} {
		for _, into := range []string{"OnOpen", "OnData", "OnReadEOF", "OnWake", "OnTimer", "OnDrain", "Call", "done"} {
			t.Run(fmt.Sprintf("%d/%s", policy, into), func(t *testing.T) { failSwitch(t, policy, into) })
		}
	}
}

func failSwitch(t *testing.T, policy engine.SwitchPolicy, into string) {
	lab := nstest.New(t)
	bad, good := lab.MustAddBare(t, "bad"), lab.MustAddBare(t, "good")
	eng, _ := wildEngine(t, engine.Config{Loops: 1, Switch: policy, ParkTimeout: time.Hour})
	h := &openWitness{conns: make(chan *engine.Conn, 3)}
	must(t, eng.Handle("tcp", lifePort, h))
	must(t, eng.Watch(lab.Dir()))
	id := bad.NS.ID()
	ns := attached(t, eng, id)
	victim := call(t, bad, "tcp")
	victim.expectWho(t, id)
	conn := <-h.conns
	bystander := call(t, good, "tcp")
	bystander.expectWho(t, good.NS.ID()) // the thread is elsewhere now
	other := <-h.conns
	before := h.count(into, id)
	must(t, ns.BreakHandle())

	ran := make(chan nsctx.ID, 1)
	switch into {
	case "OnOpen":
		victim = callInVain(t, bad, "tcp")
	case "OnData":
		say(t, victim, "who\n")
	case "OnReadEOF":
		must(t, victim.Conn.(interface{ CloseWrite() error }).CloseWrite())
	case "OnWake":
		conn.Wake()
	case "OnTimer":
		other.Call(func(*engine.Conn) { conn.SetTimer(time.Nanosecond) }) // they are on one loop
	case "OnDrain":
		go func() { _ = eng.Detach(hanging(t), ns) }()
	case "Call":
		conn.Call(func(*engine.Conn) { ran <- here() })
	case "done":
		conn.AsyncWrite([]byte("x"), func(error) { ran <- here() })
	}
	_, _ = victim.rest() // an end of file or a reset
	eventually(t, "OnClose", func() bool { return len(h.endings(id)) == 1 })
	end := h.endings(id)[0]
	if !errors.Is(end.err, engine.ErrSwitch) || !errors.Is(end.err, nsctx.ErrClosed) {
		t.Errorf("OnClose got %v", end.err)
	}
	var typed *engine.Error
	if !errors.As(end.err, &typed) || typed.Namespace != "bad" || !typed.Addr.IsValid() {
		t.Errorf("OnClose got %#v", end.err)
	}
	home := homeID(t)
	if end.at != home {
		t.Errorf("OnClose ran in %v, not at home", end.at)
	}
	if h.count(into, id) != before {
		t.Errorf("%s ran", into)
	}
	switch into {
	case "Call", "done":
		if at := <-ran; at != home {
			t.Errorf("what runs all the same ran in %v", at)
		}
	}
	if s := ns.Snapshot(); s.Errors[engine.ErrorSwitch] == 0 {
		t.Error("not counted")
	}
	bystander.expectWho(t, good.NS.ID())
	call(t, good, "tcp").expectWho(t, good.NS.ID())
	if n := attached(t, eng, good.NS.ID()).Snapshot().Errors[engine.ErrorSwitch]; n != 0 {
		t.Errorf("%d counted where nothing was wrong", n)
	}
	eventually(t, "the loop's count", func() bool { return eng.Stats().Loops[0].SwitchErrors > 0 })
	h.check(t)
}

// openWitness also hands out its connections.
type openWitness struct {
	witness
	conns chan *engine.Conn
}

func (w *openWitness) OnOpen(c *engine.Conn) {
	w.witness.OnOpen(c)
	w.conns <- c
}

// The promise: a handler that leaves its thread in another namespace is caught
// in whatever callback it does so. Its connection ends with ErrStrayed, it is
// counted, and the thread is right again for everybody after it; the place
// where it was left is not held.
func TestStrayedHandlerIsCaught(t *testing.T) {
	for _, policy := range []engine.SwitchPolicy{engine.SwitchOnChange, engine.SwitchAlways} {
		for _, in := range callbacks {
			t.Run(fmt.Sprintf("%d/%s", policy, in), func(t *testing.T) { stray(t, policy, in) })
		}
	}
}

func stray(t *testing.T, policy engine.SwitchPolicy, in string) {
	lab := nstest.New(t)
	bad, good, nowhere := lab.MustAddBare(t, "bad"), lab.MustAddBare(t, "good"), lab.MustAddBare(t, "nowhere")
	eng, log := wildEngine(t, engine.Config{Loops: 1, Switch: policy, ParkTimeout: time.Hour})
	strayed := make(chan struct{})
	w := new(witness)
	w.after = func(callback string) {
		if callback == in && !isClosed(strayed) {
			close(strayed)
			if err := netns.Set(netns.NsHandle(nowhere.NS.FD())); err != nil {
				panic(err)
			}
		}
	}
	must(t, eng.Handle("tcp", lifePort, w))
	for _, tenant := range []*nstest.Tenant{bad, good} {
		_, err := eng.Attach(nsctx.ByPath(tenant.Path))
		must(t, err)
	}
	id := bad.NS.ID()
	ns := attached(t, eng, id)
	c := callInVain(t, bad, "tcp")
	lead(t, eng, w, ns, c, in)
	_, _ = c.rest()
	_ = c.Close()
	eventually(t, "OnClose", func() bool { return len(w.endings(id)) == 1 })
	if end := w.endings(id)[0]; in != "OnClose" && !errors.Is(end.err, engine.ErrStrayed) {
		t.Errorf("OnClose got %v", end.err)
	}
	eventually(t, "it is counted", func() bool { return eng.Stats().Loops[0].Strays == 1 })
	if n := ns.Snapshot().Errors[engine.ErrorStray]; n != 1 {
		t.Errorf("%d counted for the namespace", n)
	}
	if n := log.count("handler left its thread"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	call(t, good, "tcp").expectWho(t, good.NS.ID())
	if in != "OnDrain" {
		call(t, bad, "tcp").expectWho(t, id)
	}
	gone := track(t, nowhere)
	must(t, nowhere.Delete())
	gone()
	w.check(t)
}

// lead has one callback called.
func lead(t *testing.T, eng *engine.Engine, w *witness, ns *engine.Namespace, c *caller, to string) {
	t.Helper()
	switch to {
	case "OnOpen":
	case "OnData":
		say(t, c, "who\n")
	case "OnReadEOF", "OnClose":
		must(t, c.Conn.(interface{ CloseWrite() error }).CloseWrite())
	case "OnWritable":
		say(t, c, "flood\n")
		eventually(t, "the kernel takes no more", func() bool { return w.count("flood", ns.ID()) > 0 })
	case "OnWake":
		say(t, c, "wake\n")
	case "OnTimer":
		say(t, c, "timer\n")
	case "Call":
		say(t, c, "call\n")
	case "done":
		say(t, c, "async\n")
	case "OnDrain":
		c.expectWho(t, ns.ID())
		go func() { _ = eng.Detach(hanging(t), ns) }()
	}
}
