package engine_test

import (
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/nsctx"
	"github.com/nsreactor/nsreactor/nsctx/nstest"
)

// batchWitness notes, for each callback, the turn that it was called in and
// how many switches the loop had made by then. A connection that says "g" holds
// the loop up until the gate opens; any other byte is echoed.
type batchWitness struct {
	engine.BaseHandler
	held chan struct{}
	gate chan struct{}

	mu    sync.Mutex
	calls []batchCall
}

type batchCall struct {
	turn, switches uint64
	ns             nsctx.ID
}

func (w *batchWitness) OnOpen(c *engine.Conn) { w.note(c) }

func (w *batchWitness) note(c *engine.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, batchCall{turn: c.Turn(), switches: c.Switches(), ns: c.Namespace().ID()})
}

func (w *batchWitness) OnData(c *engine.Conn) {
	said, _ := c.Peek(-1)
	if said[0] == 'g' {
		w.held <- struct{}{}
		<-w.gate
	}
	_, _ = c.Write(said)
	c.Discard(len(said))
	w.note(c)
}

// The promise: a batch costs at most one switch for each distinct namespace in
// it, and none for the one that the thread is in already, however the events
// of many tenants are mixed.
func TestBatchSwitchesOncePerNamespace(t *testing.T) {
	const tenants, conns, rounds = 8, 8, 20
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 1, ParkTimeout: time.Hour})
	w := &batchWitness{held: make(chan struct{}), gate: make(chan struct{})}
	must(t, eng.Handle("tcp", lifePort, w))
	var bare []*nstest.Tenant
	for i := range tenants {
		bare = append(bare, lab.MustAddBare(t, fmt.Sprintf("t%d", i)))
	}
	must(t, eng.Watch(lab.Dir()))
	gate := call(t, bare[0], "tcp")
	var callers []*caller
	for range conns { // the connections of one tenant are far apart in the poller
		for _, tenant := range bare {
			callers = append(callers, call(t, tenant, "tcp"))
		}
	}
	for range rounds {
		say(t, gate, "g")
		<-w.held
		for _, c := range callers {
			say(t, c, "x")
		}
		for _, c := range callers {
			eventually(t, "the bytes are in the loop's sockets", func() bool { return unacknowledged(t, c) == 0 })
		}
		w.gate <- struct{}{}
		for _, c := range append(callers, gate) {
			hear(t, c)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	checkBatches(t, w.calls, tenants*conns)
}

func say(t *testing.T, c *caller, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	must(t, err)
}

func hear(t *testing.T, c *caller) {
	t.Helper()
	_, err := c.r.ReadByte()
	must(t, err)
}

// unacknowledged is how many bytes the peer's kernel has not got yet: SIOCOUTQ,
// tcp(7).
func unacknowledged(t *testing.T, c *caller) (n int) {
	t.Helper()
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	must(t, err)
	var sysErr error
	must(t, raw.Control(func(fd uintptr) { n, sysErr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }))
	must(t, sysErr)
	return n
}

func checkBatches(t *testing.T, calls []batchCall, whole int) {
	t.Helper()
	var at nsctx.ID
	var before uint64
	full := 0
	for len(calls) > 0 {
		n := 1
		for n < len(calls) && calls[n].turn == calls[0].turn {
			n++
		}
		distinct := map[nsctx.ID]bool{}
		for _, c := range calls[:n] {
			distinct[c.ns] = true
		}
		allowed := len(distinct)
		if distinct[at] {
			allowed--
		}
		last := calls[n-1]
		if took := int(last.switches - before); took > allowed {
			t.Errorf("turn %d: %d switches for %d events of %d namespaces, %d allowed",
				last.turn, took, n, len(distinct), allowed)
		}
		if n >= whole {
			full++
		}
		at, before, calls = last.ns, last.switches, calls[n:]
	}
	if full == 0 {
		t.Error("no batch had an event of every connection: nothing was tested")
	}
}

// The promise, seen from outside: with several busy connections a namespace,
// there are clearly fewer switches than events.
func TestSwitchesAreSharedUnderLoad(t *testing.T) {
	const tenants, conns, requests = 4, 8, 100
	lab := nstest.New(t)
	eng := tameEngine(t, engine.Config{Loops: 1})
	w := new(witness)
	must(t, eng.Handle("tcp", lifePort, w))
	var bare []*nstest.Tenant
	for i := range tenants {
		bare = append(bare, lab.MustAddBare(t, fmt.Sprintf("t%d", i)))
	}
	must(t, eng.Watch(lab.Dir()))
	var clients sync.WaitGroup
	for range conns {
		for _, tenant := range bare {
			c := call(t, tenant, "tcp")
			clients.Go(func() {
				defer c.Close()
				for range requests {
					if got, err := c.try("who"); got != tenant.NS.ID().String()+" " || err != nil {
						t.Errorf("%s: %q, %v", tenant.Name, got, err)
						return
					}
				}
			})
		}
	}
	clients.Wait()
	must(t, eng.Shutdown(hanging(t)))
	loop := eng.Stats().Loops[0]
	t.Logf("%d events, %d switches, %d avoided", loop.Events, loop.Switches, loop.SwitchesAvoided)
	if loop.Switches >= loop.Events {
		t.Errorf("%d switches for %d events", loop.Switches, loop.Events)
	}
	if loop.Events < tenants*conns*requests/2 {
		t.Errorf("only %d events", loop.Events)
	}
	w.check(t)
}
