package session

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nsreactor/nsreactor/engine"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/initiator"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/login"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/scsi"
	"github.com/nsreactor/nsreactor/examples/iscsi-stub/volume"
	"github.com/nsreactor/nsreactor/nsctx"
)

const targetName = "iqn.2026-01.example:disk"

// fixture is a server in the home namespace, with one tenant, one target, and one unit in
// memory.
type fixture struct {
	t       testing.TB
	server  *Server
	engine  *engine.Engine
	address string
	unit    *scsi.Unit
	watch   *watcher
	limits  Limits
}

// options changes what a fixture is made of.
type options struct {
	prefer login.Preferences
	config func(*Config)
	engine engine.Config
	limits Limits
	volume volume.Config
	shaper scsi.Shaper
	keeper scsi.Keeper
}

type everyones struct{ tenant *Tenant }

func (d everyones) Tenant(*engine.Namespace) *Tenant { return d.tenant }

// watcher is an Observer that counts, and can be waited for.
type watcher struct {
	nobody
	mu         sync.Mutex
	changed    *sync.Cond
	violations map[Violation]int
	opened     int
	closed     map[string]int
	ended      map[scsi.Status]int
	aborted    int
}

func newWatcher() *watcher {
	w := &watcher{violations: map[Violation]int{}, closed: map[string]int{}, ended: map[scsi.Status]int{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *watcher) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
}

func (w *watcher) Violated(_ string, v Violation)    { w.note(func() { w.violations[v]++ }) }
func (w *watcher) SessionOpened(*Info)               { w.note(func() { w.opened++ }) }
func (w *watcher) SessionClosed(_ *Info, why string) { w.note(func() { w.closed[why]++ }) }
func (w *watcher) CommandEnded(_ *Info, e Ended) {
	w.note(func() {
		if e.Aborted {
			w.aborted++
		} else {
			w.ended[e.Status]++
		}
	})
}

// await waits until something holds.
func (w *watcher) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := false
	hang := time.AfterFunc(30*time.Second, func() { w.note(func() { late = true }) })
	defer hang.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !holds() {
		if late {
			t.Fatalf("%s: not in 30 s; violations %v, closed %v, ended %v", what, w.violations, w.closed, w.ended)
		}
		w.changed.Wait()
	}
}

func newFixture(t testing.TB, o options) *fixture {
	t.Helper()
	vc := o.volume
	if vc.Kind == "" {
		vc.Kind = volume.Memory
	}
	vc.Name, vc.Blocks, vc.Profile.Thin = "v", 64<<11, true
	v, err := volume.Open(vc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	u, err := scsi.NewUnit(scsi.UnitConfig{Volume: v, Shaper: o.shaper, Keeper: o.keeper})
	if err != nil {
		t.Fatal(err)
	}
	d := scsi.NewDevice(scsi.DeviceConfig{Name: targetName, Ports: []scsi.TargetPort{{ID: 1, Name: targetName + ",t,0x1"}}})
	if err := d.Add(0, u); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, unit: u, watch: newWatcher(), limits: o.limits}
	cfg := Config{
		Directory: everyones{&Tenant{Name: "a", Limits: o.limits, Targets: []*Target{{Name: targetName, Device: d, Portals: []Portal{{Group: 1}}}}}},
		Observer:  f.watch, Logger: slog.New(slog.DiscardHandler),
		Login: login.Config{Preferences: o.prefer},
	}
	if o.config != nil {
		o.config(&cfg)
	}
	if f.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if o.engine.Loops == 0 {
		o.engine.Loops = 2
	}
	o.engine.Accept, o.engine.Logger = engine.AcceptSpread, cfg.Logger
	if f.engine, err = engine.New(o.engine); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = f.engine.Shutdown(ctx)
		f.settled()
	})
	if err := f.engine.Handle("tcp", 0, f.server.Handler(), engine.AnyNamespace); err != nil {
		t.Fatal(err)
	}
	ns, err := f.engine.Attach(nsctx.Home())
	if err != nil {
		t.Fatal(err)
	}
	f.address = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(ns.Port("tcp", 0))).String()
	return f
}

// settled checks that nothing is left of the sessions: whatever a test did to them.
func (f *fixture) settled() {
	f.watch.await(f.t, "sessions close", func() bool {
		n := 0
		for _, closed := range f.watch.closed {
			n += closed
		}
		return n == f.watch.opened
	})
	if left := f.server.Sessions(); len(left) > 0 {
		f.t.Errorf("%d sessions are left", len(left))
	}
	tn := f.server.tenancy(&Tenant{Name: "a"})
	// A worker's goroutine lets go of a task after it has ended.
	f.until("tasks are given up", func() bool { return f.unit.Depth() == 0 && tn.memory.inUse() == 0 })
	tn.mu.Lock()
	defer tn.mu.Unlock()
	if tn.conns != 0 || tn.loggingIn != 0 {
		f.t.Errorf("%d connections are left, %d logging in", tn.conns, tn.loggingIn)
	}
}

// context ends when only a hang can have taken so long.
func (f *fixture) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	f.t.Cleanup(cancel)
	return ctx
}

// dial logs in, and gets over the unit attentions.
func (f *fixture) dial(cfg initiator.Config) *initiator.Session {
	f.t.Helper()
	cfg.Target = targetName
	s, err := initiator.Dial(f.context(), f.address, cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Close() })
	if err := s.Ready(f.context(), lun0); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// raw is a connection to send anything on, logged in.
func (f *fixture) raw(keys ...string) (*initiator.Conn, initiator.LoginResult) {
	f.t.Helper()
	c := f.connect()
	r, err := c.Login(f.context(), initiator.Config{Target: targetName, Keys: keys, Initiator: "iqn.2026-01.example:raw" + strconv.Itoa(len(keys))})
	if err != nil {
		f.t.Fatal(err)
	}
	return c, r
}

// connect is a connection that has not logged in.
func (f *fixture) connect() *initiator.Conn {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return initiator.NewConn(nc)
}

var lun0 = initiator.LUN(0)
